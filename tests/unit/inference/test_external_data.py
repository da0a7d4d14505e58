"""Models whose weights are in other files are refused, wherever in the graph the weights are."""

import io
import tarfile

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from reconcile.engines.sagemaker.model_archive import unpack_models
from reconcile.errors import ReconcileError
from reconcile.inference.counter import load_predictor
from reconcile.inference.external_data import has_external_data
from reconcile.inference.model import default_model, read_model
from reconcile.training.network import CountNetwork
from reconcile.training.warm_start import start_from
from tests.conftest import reconcile, write_grey_model

ON_SAGEMAKER = ["--data", "s3://b/photos", "--out", "s3://b/out", "--role", "arn:aws:iam::1:role/r", "--region", "r-1"]
ON_SAGEMAKER += ["--image-uri", "e/r:1", "--instance-type", "ml.g4dn.xlarge"]


def write_external_model(path):
    """Write a count model whose weights are in weights.bin."""
    write_grey_model(path)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        tensor.raw_data = onnx.numpy_helper.to_array(tensor).tobytes()
        for field in ("float_data", "int64_data"):
            tensor.ClearField(field)
    onnx.save_model(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert path.with_name("weights.bin").is_file()


def external_tensor():
    tensor = TensorProto(name="x", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights.bin")
    return tensor


def refused(path):
    return pytest.raises(ReconcileError, match=rf"^{path} keeps weights in other files \(ONNX external data\)")


def test_model_with_external_weights_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    write_external_model(path)
    with refused(path):
        read_model(path)
    with refused(path):
        load_predictor(path, "cpu", pytest.fail)


def test_model_with_external_weights_in_an_archive_is_refused(tmp_path):
    write_external_model(tmp_path / "model.onnx")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name in ("model.onnx", "weights.bin"):
            tar.add(tmp_path / name, name)
    [path] = unpack_models(archive.getvalue(), tmp_path / "unpacked")
    with refused(path):
        read_model(path)


def test_training_does_not_start_from_external_weights(tmp_path):
    path = tmp_path / "model.onnx"
    write_external_model(path)
    with refused(path):
        start_from(str(path), CountNetwork(2), np.zeros((1, 32, 32, 3), dtype=np.uint8))
    recipe = 'version = "a"\nstart_from = "model.onnx"\n[[stages]]\nsize = 32\nepochs = 1\nlearning_rate = 1'
    (tmp_path / "recipe.toml").write_text(recipe)
    for command in (["train", "--data", "."], ["tune", "--data", "."], ["sagemaker", "train", *ON_SAGEMAKER]):
        done = reconcile(*command, "--recipe", "recipe.toml")
        assert done.returncode == 1
        assert "model.onnx keeps weights in other files (ONNX external data)" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_external_tensors_are_found_everywhere(tmp_path):
    constant = helper.make_node("Constant", [], ["c"], value=external_tensor())
    inner = helper.make_graph([constant], "inner", [], [])
    branch = helper.make_node("If", ["c"], ["d"], then_branch=inner, else_branch=inner)
    sparse = onnx.SparseTensorProto(values=external_tensor(), dims=[1])
    models = [
        helper.make_model(helper.make_graph([constant], "constant", [], [])),
        helper.make_model(helper.make_graph([branch], "branch", [], [])),
        helper.make_model(helper.make_graph([], "initializer", [], [], [external_tensor()])),
        helper.make_model(helper.make_graph([], "sparse", [], [], sparse_initializer=[sparse])),
        helper.make_model(
            helper.make_graph([], "function", [], []),
            functions=[helper.make_function("d", "f", [], ["c"], [constant], [helper.make_opsetid("", 18)])],
        ),
    ]
    for model in models:
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
        assert has_external_data(tmp_path / "model.onnx"), model.graph.name


def test_models_in_one_file_are_accepted(grey_model):
    assert not has_external_data(grey_model)
    for device in ("cpu", "cuda"):
        assert not has_external_data(default_model(device))


@pytest.mark.parametrize("data", [b"", b"\x00", b"hello", b"\xff" * 100, b"\x3a\xff\xff\xff\x7f", bytes(1000)])
def test_file_that_is_no_model_has_no_external_data(data, tmp_path):
    (tmp_path / "model.onnx").write_bytes(data)
    assert not has_external_data(tmp_path / "model.onnx")
