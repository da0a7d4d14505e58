"""Tests of parsing responses."""

import json

import pytest

from reconcile.engines.sagemaker.responses import NO_RESPONSE, rows_of_shard
from reconcile.errors import ReconcileError
from reconcile.inference.model import read_model


def response(key, model_id, **changes):
    """Return a valid line, with changes."""
    probs = [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    row = {"image_key": key, "etag": "e", "predicted_label": "2", "predicted_count": 2, "probabilities": probs}
    row |= {"reason": None, "try_again": False, "counted_at": "2026-11-24T02:15:00+00:00", "model_id": model_id}
    return json.dumps(row | changes).encode() + b"\n"


def test_each_key_gets_one_row_for_any_response(grey_model):
    model = read_model(grey_model)
    keys = b"".join(json.dumps({"key": key, "etag": "e"}).encode() + b"\n" for key in "abcdefg")
    no_count = {"predicted_label": None, "predicted_count": None, "probabilities": None}
    responses = b"\n".join(
        [
            response("b", model.model_id),  # in another order, and with blank lines between
            response("a", model.model_id, etag="another"),
            response("c", model.model_id, **no_count, reason="broken"),
            response("d", model.model_id, **no_count),
            response("e", model.model_id, probabilities=[1.0]),
            response("f", model.model_id)[:-40],  # truncated
            response("g", model.model_id, probabilities=[2.0] * 7),
            response("z", model.model_id),
            b"null\n[]\n\xff\n",
        ]
    )
    labels = model.card.labels.names
    rows = rows_of_shard(keys, responses, model.model_id, labels)
    assert [row["image_key"] for row in rows] == list("abcdefg")
    assert [row["reason"] for row in rows] == [NO_RESPONSE, None, "broken", *[NO_RESPONSE] * 4]
    assert [row["try_again"] for row in rows] == [True, False, False, *[True] * 4]
    assert rows[1]["predicted_count"] == 2
    with pytest.raises(ReconcileError, match="counted with model other-1 instead of grey-"):
        rows_of_shard(keys, responses + response("a", "other-1"), model.model_id, labels)
