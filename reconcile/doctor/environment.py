"""Check versions, device, model, engine and output."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from reconcile import __version__
from reconcile.doctor.checks import CheckResult, run_check
from reconcile.doctor.inputs import check_inputs
from reconcile.errors import ReconcileError
from reconcile.inference.counter import load_predictor
from reconcile.locations import check_apart, open_output, output_folder
from reconcile.logs import RunLog
from reconcile.output.store import INBOX, Output
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from reconcile.text import plural
from reconcile.verdicts.inbox import list_inbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconcile.config import Settings


_LIBRARIES = ("onnxruntime-gpu", "onnxruntime", "openvino", "duckdb", "obstore", "simplejpeg")

_MOST_NAMED = 5
"""The largest number of files in the inbox that are named."""


def run_checks(settings: Settings) -> Iterator[CheckResult]:
    """Check versions, providers, model or engine, photos, records and output, in the order in which a run needs them.

    No photo is counted, and no file is left behind.
    """
    yield CheckResult("reconcile", "ok", f"{__version__}, Python {platform.python_version()}, {platform.machine()}")
    yield CheckResult("libraries", "ok", ", ".join(_versions()))
    yield run_check("providers", _check_providers)
    if settings.engine == "sagemaker":
        yield run_check("sagemaker", lambda: _check_sagemaker(settings))
    elif settings.engine == "ray":
        yield run_check("ray", lambda: _check_ray(settings))
    else:
        yield run_check("model", lambda: _check_model(settings))
    yield from check_inputs(settings)
    yield run_check("output", lambda: _check_output(settings))
    yield from _check_inbox(settings)


def _versions() -> Iterator[str]:
    for library in _LIBRARIES:
        try:
            yield f"{library} {version(library)}"
        except ModuleNotFoundError:  # onnxruntime has two names, and OpenVINO has no wheel for some machines
            continue


def _check_providers() -> str:
    import onnxruntime

    names = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    return f"onnxruntime supports {', '.join(names)}, if this machine has them"


def _check_model(settings: Settings) -> str:
    warnings: list[str] = []
    predictor = load_predictor(settings.model, settings.device, warnings.append, settings.batch_size)
    card = predictor.card
    device = f"counts on {predictor.device} with {plural(predictor.workers, 'thread')}"
    if predictor.pins_memory:
        device += " from pinned memory"
    model = f"{predictor.path.name}, version {card.version}, labels {','.join(card.labels.names)}, {card.input_size} px"
    return "; ".join([model, device, *warnings])


def _check_sagemaker(settings: Settings) -> str:
    from reconcile.engines.sagemaker.engine import open_sagemaker_engine

    return open_sagemaker_engine(settings, RunLog(settings.log_format)).check()


def _check_ray(settings: Settings) -> str:
    from reconcile.engines.ray.engine import RayEngine

    warnings: list[str] = []
    cluster = RayEngine(settings, warnings.append).check()
    return "; ".join([cluster, *warnings])


def _check_output(settings: Settings) -> str:
    folder = output_folder(settings)
    if folder is None or folder.exists():
        output = open_output(settings)
        _check_apart(settings, output.location)
        output.check_writable()
        address = output.bucket.address
        return f"{output.location} can be written" + (f", at {address}" if address is not None else "")
    _check_apart(settings, str(folder))
    # A run would create the folder, so the check writes to the nearest folder that exists.
    parent = next(ancestor for ancestor in folder.parents if ancestor.exists())
    try:
        Output(open_bucket(str(parent), S3Access())).check_writable()
    except ReconcileError as error:
        raise ReconcileError(f"{folder} does not exist and cannot be created: {error}") from None
    return f"{folder} does not exist yet; it can be created in {parent}"


def _check_inbox(settings: Settings) -> Iterator[CheckResult]:
    """Yield which files of verdicts the next run imports, if the inbox has files."""
    try:
        listing = list_inbox(open_output(settings))
    except ReconcileError:  # the check of the output has reported it
        return
    tables = [stored.key.removeprefix(INBOX) for stored in listing.tables]
    if tables:
        yield CheckResult("inbox", "ok", f"the next run imports {plural(len(tables), 'file')}: {_some(tables)}")
    if listing.others:
        yield CheckResult(
            "inbox", "?", f"{_some(listing.others)}: the type is unknown, so a run leaves it in the inbox"
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _check_apart(settings: Settings, output: str) -> None:
    if not settings.bucket:
        return
    try:
        bucket = open_bucket(settings.bucket, settings.s3_access())
    except ReconcileError:  # the check of the bucket has reported it
        return
    check_apart(settings, bucket, output)
