"""What a run works with: the bucket, <out>, and whoever counts; opened, and found good before any work starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from reconcile.bucket import Bucket, S3Access, is_folder, open_bucket
from reconcile.engines.choice import open_engine
from reconcile.errors import UsageError
from reconcile.records_table import table_format
from reconcile.results import check_pattern
from reconcile.store import Output

if TYPE_CHECKING:
    from reconcile.config import Settings
    from reconcile.engines.engine import Engine
    from reconcile.messages import Messages


class Places(NamedTuple):
    """What a run works with, opened and found good."""

    bucket: Bucket
    output: Output
    engine: Engine


def open_places(settings: Settings, messages: Messages) -> Places:
    """Open all that a run needs, and see that it can begin.

    Raises:
        ReconcileError: no bucket, no credentials, no model or no output.
    """
    if settings.records is not None:
        table_format(settings.records)
    if settings.where is not None:
        check_pattern(settings.where)
    engine = open_engine(settings, messages)
    bucket = open_bucket(settings.bucket, s3_access(settings))
    output = open_output(settings, create=True)
    for prefix in (settings.images_prefix, settings.records_prefix):
        if f"{output.location}/".startswith(bucket.url(prefix).rstrip("/") + "/"):
            raise UsageError(f"--out lies in {bucket.url(prefix)}, where it would be read as photos or records")
    output.check_writable()
    return Places(bucket, output, engine)


def s3_access(settings: Settings) -> S3Access:
    """How to reach the bucket."""
    return S3Access(settings.endpoint_url, settings.region, settings.profile, settings.no_sign_request)


def open_output(settings: Settings, *, create: bool = False) -> Output:
    """<out>; unlike the bucket, it can never be anonymous.

    Args:
        settings: where it is.
        create: make the folder if it is not there, as a run does.
    """
    access = S3Access(settings.endpoint_url, settings.region, settings.profile)
    return Output(open_bucket(as_folder(settings.out), access, create=create))


def output_folder(settings: Settings) -> Path | None:
    """The folder that <out> names, whether or not it is there; None where <out> is on S3."""
    location = as_folder(settings.out)
    return Path(location).expanduser().resolve() if is_folder(location) else None


def as_folder(out: str) -> str:
    """A bare word is a folder here: nobody's first --out is the name of a bucket."""
    return out if "/" in out or out.startswith((".", "~")) else f"./{out}"
