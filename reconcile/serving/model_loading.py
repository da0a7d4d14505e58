"""Which model a server counts with."""

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
"""Where SageMaker unpacks a model's archive."""


def load_chosen(settings: Settings, warn: Callable[[str], None]) -> CountPredictor:
    """Load the model of --model, else the one that SageMaker brought, else the shipped one.

    Args:
        settings: model, device and batch size.
        warn: called with one line where something is not as might have been meant.

    Raises:
        ReconcileError: no such file, none of ours, several to choose from, or a device that does not load.
    """
    device = choose_device(settings.device, warn)
    try:
        return _load(settings, device, warn)
    except ReconcileError as error:  # the GPU's libraries load, but the driver is too old, say
        if settings.device != "auto" or device == "cpu":
            raise
        warn(f"counting on the CPU: there is a GPU, but it cannot be used: {error}")
        return _load(settings, "cpu", warn)


def _load(settings: Settings, device: str, warn: Callable[[str], None]) -> CountPredictor:
    path = settings.model or _brought(Path(os.environ.get("SM_MODEL_DIR") or _SAGEMAKER_MODEL), device, warn)
    return load_predictor(path, device, warn, settings.batch_size)


def _brought(folder: Path, device: str, warn: Callable[[str], None]) -> Path | None:
    """The ONNX file in the folder, or of several the one for this device; `reconcile train` leaves one for each."""
    found = sorted(folder.glob("*.onnx"))
    if not found:
        if folder.is_dir() and any(folder.iterdir()):
            warn(f"there is no .onnx file in {folder}, so the shipped model counts")
        return None
    suited = Precision.INT8 if device == "cpu" else Precision.FP16
    chosen = found if len(found) == 1 else [path for path in found if path.stem.endswith(f"-{suited}")]
    if len(chosen) != 1:
        names = ", ".join(path.name for path in found)
        raise ReconcileError(f"{folder} holds several models ({names}); name one with --model or RECONCILE_MODEL")
    return chosen[0]
