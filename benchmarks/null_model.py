"""A model that ignores its input and returns zeros. A run with it shows the cost of everything except the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto, helper

from reconcile.images import PREPROCESSING
from reconcile.inference.model import ModelCard
from reconcile.labels import CountLabels

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ("0", "1", "2", "3", "4", "5", "6+")


def write_null_model(path: Path, size: int) -> None:
    """Write the model as an ONNX file that `reconcile run --model` accepts.

    Args:
        path: the file.
        size: S of the input, uint8 [N, S, S, 3].
    """
    shape = [
        helper.make_node("Shape", ["images"], ["n"], start=0, end=1),
        helper.make_node("Concat", ["n", "labels"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["logits"]),
    ]
    graph = helper.make_graph(
        shape,
        "zeros",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", size, size, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(LABELS)])],
        [helper.make_tensor("labels", TensorProto.INT64, [1], [len(LABELS)])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    card = ModelCard(CountLabels(LABELS), size, 1.0, (1 / len(LABELS),) * len(LABELS), "zeros", "none", PREPROCESSING)
    helper.set_model_props(model, card.as_metadata())
    onnx.save(model, path)
