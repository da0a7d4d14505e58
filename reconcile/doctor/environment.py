"""`reconcile doctor`: looks at everything a run needs and says what to do about each thing that fails."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from reconcile import __version__
from reconcile.doctor.checks import CheckResult, run_check
from reconcile.doctor.inputs import check_inputs
from reconcile.errors import ReconcileError
from reconcile.inference.counter import load_predictor
from reconcile.locations import open_output, output_folder
from reconcile.logs import RunLog
from reconcile.output.store import Output
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconcile.config import Settings


_LIBRARIES = ("onnxruntime-gpu", "onnxruntime", "openvino", "duckdb", "obstore", "simplejpeg")


def run_checks(settings: Settings) -> Iterator[CheckResult]:
    """Look at versions, providers, model, bucket and output, in the order in which a run needs them.

    Nothing is counted, and nothing stays written.
    """
    yield CheckResult("reconcile", "ok", f"{__version__}, Python {platform.python_version()}, {platform.machine()}")
    yield CheckResult("libraries", "ok", ", ".join(_versions()))
    yield run_check("providers", _providers)
    if settings.engine == "sagemaker":
        yield run_check("sagemaker", lambda: _sagemaker(settings))
    elif settings.engine == "ray":
        yield run_check("ray", lambda: _ray(settings))
    else:
        yield run_check("model", lambda: _model(settings))
    yield from check_inputs(settings)
    yield run_check("output", lambda: _output(settings))


def _versions() -> Iterator[str]:
    for library in _LIBRARIES:
        try:
            yield f"{library} {version(library)}"
        except ModuleNotFoundError:  # onnxruntime comes under one of two names, OpenVINO not everywhere
            continue


def _providers() -> str:
    import onnxruntime

    names = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    return f"onnxruntime is built for {', '.join(names)}"


def _model(settings: Settings) -> str:
    warnings: list[str] = []
    counter = load_predictor(settings.model, settings.device, warnings.append, settings.batch_size)
    card = counter.card
    used = f"counts on {counter.device} with {counter.workers} thread(s)"
    what = f"{counter.path.name}, version {card.version}, labels {','.join(card.labels.names)}, {card.input_size} px"
    return "; ".join([what, used, *warnings])


def _sagemaker(settings: Settings) -> str:
    from reconcile.engines.sagemaker.engine import open_sagemaker_engine

    return open_sagemaker_engine(settings, RunLog(settings.log_format)).check()


def _ray(settings: Settings) -> str:
    from reconcile.engines.ray.engine import RayEngine

    warnings: list[str] = []
    told = RayEngine(settings, warnings.append).check()
    return "; ".join([told, *warnings])


def _output(settings: Settings) -> str:
    folder = output_folder(settings)
    if folder is None or folder.exists():
        output = open_output(settings)
        output.check_writable()
        return f"{output.location} can be written"
    # A run would make the folder; whether it can is seen where it would be made.
    parent = next(above for above in folder.parents if above.exists())
    try:
        Output(open_bucket(str(parent), S3Access())).check_writable()
    except ReconcileError as error:
        raise ReconcileError(f"{folder} is not there, and cannot be made: {error}") from None
    return f"{folder} is not there yet; it can be made in {parent}"
