"""Opens the engine that a run was told to use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconcile.config import Settings
    from reconcile.engines.base import Engine
    from reconcile.logs import RunLog


def open_engine(settings: Settings, messages: RunLog) -> Engine:
    """The engine, found good to begin with.

    Raises:
        UsageError: something that it needs was not said.
        ReconcileError: no model, the device that was asked for does not load, or there are no machines to count on.
    """
    if settings.engine == "sagemaker":
        from reconcile.engines.sagemaker.engine import open_sagemaker_engine

        return open_sagemaker_engine(settings, messages)
    if settings.engine == "ray":
        from reconcile.engines.ray.engine import RayEngine

        return RayEngine(settings, messages.warn)
    from reconcile.engines.local import LocalEngine
    from reconcile.inference.counter import load_predictor

    return LocalEngine(load_predictor(settings.model, settings.device, messages.warn, settings.batch_size))
