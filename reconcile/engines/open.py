"""Open the engine chosen by `--engine`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconcile.config import Settings
    from reconcile.engines.base import Engine
    from reconcile.logs import RunLog


def open_engine(settings: Settings, log: RunLog) -> Engine:
    """Open the engine, and check what can be checked before work starts.

    Raises:
        UsageError: a setting that the engine needs is missing.
        ReconcileError: the model does not exist, the device does not load, or the cluster cannot be reached.
    """
    if settings.engine == "sagemaker":
        from reconcile.engines.sagemaker.engine import open_sagemaker_engine

        return open_sagemaker_engine(settings, log)
    if settings.engine == "ray":
        from reconcile.engines.ray.engine import RayEngine

        return RayEngine(settings, log.warn)
    from reconcile.engines.local import LocalEngine
    from reconcile.inference.counter import load_predictor

    return LocalEngine(load_predictor(settings.model, settings.device, log.warn, settings.batch_size))
