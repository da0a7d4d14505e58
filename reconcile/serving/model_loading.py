"""Choose the model to serve."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from reconcile.errors import ReconcileError
from reconcile.inference.counter import load_predictor
from reconcile.inference.devices import choose_device
from reconcile.inference.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconcile.config import Settings
    from reconcile.inference.counter import CountPredictor


_SAGEMAKER_MODEL = "/opt/ml/model"
"""The folder where SageMaker unpacks the archive of a model."""


def load_served_model(settings: Settings, warn: Callable[[str], None]) -> CountPredictor:
    """Load the model of --model, else the model that SageMaker unpacked, else the shipped model.

    Args:
        settings: model, device and batch size.
        warn: called with one line if the device or the model is not what the user may expect.

    Raises:
        ReconcileError: the file does not exist or is not a count model, several models could be meant, or the device
            does not load.
    """
    device = choose_device(settings.device, warn)
    try:
        return _load(settings, device, warn)
    except ReconcileError as error:  # for example, the GPU libraries load but the driver is too old for them
        if settings.device != "auto" or device == "cpu":
            raise
        warn(f"counting on the CPU, because the GPU cannot be used: {error}")
        return _load(settings, "cpu", warn)


def _load(settings: Settings, device: str, warn: Callable[[str], None]) -> CountPredictor:
    path = settings.model or _find_model(Path(os.environ.get("SM_MODEL_DIR") or _SAGEMAKER_MODEL), device, warn)
    return load_predictor(path, device, warn, settings.batch_size)


def _find_model(folder: Path, device: str, warn: Callable[[str], None]) -> Path | None:
    """Return the ONNX file in a folder; of several files, the one for this device. Return None if there is none.

    `reconcile train` writes one file for CPUs and one for GPUs.

    Raises:
        ReconcileError: several files could be meant.
    """
    paths = sorted(folder.glob("*.onnx"))
    if not paths:
        if folder.is_dir() and any(folder.iterdir()):
            warn(f"{folder} has no .onnx file, so the server counts with the shipped model")
        return None
    precision = Precision.INT8 if device == "cpu" else Precision.FP16
    suitable = paths if len(paths) == 1 else [path for path in paths if path.stem.endswith(f"-{precision}")]
    if len(suitable) != 1:
        names = ", ".join(path.name for path in paths)
        raise ReconcileError(f"{folder} has several models ({names}); choose one with --model or RECONCILE_MODEL")
    return suitable[0]
