"""Tests of opening the SageMaker engine."""

import pytest

from reconcile.config import load_settings
from reconcile.engines.open import open_engine
from reconcile.errors import UsageError
from reconcile.logs import RunLog
from tests.unit.engines.sagemaker.settings import VALID


def open_sagemaker(**changes):
    return open_engine(load_settings(VALID | changes, flags_only=True), RunLog("text"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_uri": None, "role": None}, "^SageMaker needs --image-uri, --role "),
        ({"role": "reconcile"}, "--role must be the ARN"),
        ({"out": "nightly"}, "--out must be s3://"),
        ({"bucket": "./photos"}, "is the folder ./photos"),
        ({"region": None}, "^SageMaker needs a region"),
    ],
)
def test_missing_or_invalid_settings_are_refused(changes, message, grey_model):
    with pytest.raises(UsageError, match=message):
        open_sagemaker(model=grey_model, **changes)


@pytest.mark.parametrize(("instance", "precision"), [("ml.g4dn.xlarge", "fp16"), ("ml.c5.xlarge", "int8")])
def test_shipped_model_suits_the_instances(instance, precision):
    assert open_sagemaker(instance_type=instance).model.path.name == f"bin-counter-{precision}.onnx"
