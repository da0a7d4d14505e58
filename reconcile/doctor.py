"""`reconcile doctor`: looks at everything a run needs and says what to do about each thing that fails."""

from __future__ import annotations

import platform
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from reconcile import __version__
from reconcile.bucket import FetchError, S3Access, bring_file, open_bucket
from reconcile.counter import load_counter
from reconcile.database import open_database
from reconcile.errors import ReconcileError
from reconcile.keys import Keys
from reconcile.messages import Messages
from reconcile.places import open_output, output_folder, s3_access
from reconcile.records import InvalidRecord, read_abid_record
from reconcile.records_table import load_table
from reconcile.store import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconcile.bucket import Bucket
    from reconcile.config import Settings

_LIBRARIES = ("onnxruntime-gpu", "onnxruntime", "openvino", "duckdb", "obstore", "simplejpeg")


@dataclass(frozen=True)
class Finding:
    """One line of the screen."""

    subject: str
    good: bool
    text: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at versions, providers, model, bucket and output, in the order in which a run needs them.

    Nothing is counted, and nothing stays written.
    """
    yield Finding("reconcile", True, f"{__version__}, Python {platform.python_version()}, {platform.machine()}")
    yield Finding("libraries", True, ", ".join(_versions()))
    yield _look("providers", _providers)
    if settings.engine == "sagemaker":
        yield _look("sagemaker", lambda: _sagemaker(settings))
    elif settings.engine == "ray":
        yield _look("ray", lambda: _ray(settings))
    else:
        yield _look("model", lambda: _model(settings))
    if settings.bucket:
        yield from _bucket(settings)
    else:
        yield Finding("bucket", True, "not looked at, since none was named (say --bucket); everything else was")
    if settings.records is not None:
        yield _look("records", lambda: _table(settings, str(settings.records)))
    yield _look("output", lambda: _output(settings))


def _look(subject: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, check())
    except (ReconcileError, FetchError) as error:
        return Finding(subject, False, str(error))


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
    counter = load_counter(settings.model, settings.device, warnings.append, settings.batch_size)
    card = counter.card
    used = f"counts on {counter.device} with {counter.workers} thread(s)"
    what = f"{counter.path.name}, version {card.version}, labels {','.join(card.labels.names)}, {card.input_size} px"
    return "; ".join([what, used, *warnings])


def _sagemaker(settings: Settings) -> str:
    from reconcile.engines.sagemaker import open_sagemaker_engine

    return open_sagemaker_engine(settings, Messages(settings.log_format)).check()


def _ray(settings: Settings) -> str:
    from reconcile.engines.ray_engine import RayEngine

    warnings: list[str] = []
    told = RayEngine(settings, warnings.append).check()
    return "; ".join([told, *warnings])


def _bucket(settings: Settings) -> Iterator[Finding]:
    try:
        bucket = open_bucket(settings.bucket, s3_access(settings))
    except ReconcileError as error:
        yield Finding("bucket", False, str(error))
        return
    with tempfile.TemporaryDirectory() as folder:
        told_by: Bucket | Keys = bucket
        if settings.keys is not None:  # then nothing is listed, and nobody has to be allowed to
            try:
                told_by = Keys(settings.keys, s3_access(settings), bucket, Path(folder))
            except ReconcileError as error:
                yield Finding("keys", False, str(error))
                return
            yield Finding("keys", True, told_by.in_words())
        yield _look("photos", lambda: _first(bucket, told_by, settings.images_prefix, "--images-prefix")[0])
        if settings.records is None:
            yield _look("records", lambda: _first_record(bucket, told_by, settings.records_prefix))


def _first_record(bucket: Bucket, told_by: Bucket | Keys, prefix: str) -> str:
    text, data = _first(bucket, told_by, prefix, "--records-prefix")
    try:
        read_abid_record(data)
    except InvalidRecord as error:  # it will be a row that says so, and others may be sound
        return f"{text}, but is no record: {error}"
    return text


def _first(bucket: Bucket, told_by: Bucket | Keys, prefix: str, flag: str) -> tuple[str, bytes]:
    """What is to be said of the first object under a prefix, and its bytes."""
    page = next((page for page in told_by.pages(prefix) if len(page)), None)
    if page is None:
        raise ReconcileError(f"nothing under {bucket.url(prefix)}; is {flag} right?")
    key = page[0].key if isinstance(page, list) else page["key"][0].as_py()
    data = bucket.get(key)
    what = "can be listed" if told_by is bucket else "has keys"
    return f"{bucket.url(prefix)} {what}, and {key} can be read ({len(data):,} bytes)", data


def _table(settings: Settings, source: str) -> str:
    with tempfile.TemporaryDirectory() as folder, open_database(Path(folder)) as database:
        path = bring_file(source, s3_access(settings), Path(folder))
        load_table(database, path, source, settings.records_columns, Path(folder))
        rows = len(database.table("source_rows"))
    if not rows:
        raise ReconcileError(f"{source} has the columns that are needed, and not one row")
    return f"{source} has {rows:,} rows with the columns that are needed"


def _output(settings: Settings) -> str:
    folder = output_folder(settings)
    if folder is None or folder.exists():
        output = open_output(settings)
        output.check_writable()
        return f"{output.location} can be written"
    # A run would make the folder; whether it can is seen where it would be made.
    parent = next(above for above in folder.parents if above.exists())
    Output(open_bucket(str(parent), S3Access())).check_writable()
    return f"{folder} is not there yet; it can be made in {parent}"
