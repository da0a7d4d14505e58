"""The commands: parse, call, print. Heavy modules are imported where they are used, so that --help is instant."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from reconcile import __version__, interruption
from reconcile.errors import ReconcileError, UsageError

if TYPE_CHECKING:
    from reconcile.config import Settings

app = typer.Typer(
    help="Count the items in every bin photo of a bucket, hold each count against the record, say what to recount.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


class Precision(StrEnum):
    """What `reconcile export` can write."""

    INT8 = "int8"
    FP32 = "fp32"


_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130
_DEBUG = "RECONCILE_DEBUG"


def _show_version(asked: bool) -> None:
    if asked:
        print(f"reconcile {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _option(help_text: str, panel: str, **more: Any) -> Any:
    # Defaults are not typer's: a flag that is not given may still come from the environment or reconcile.toml.
    return typer.Option(help=help_text, rich_help_panel=panel, show_default=False, **more)


_WHERE, _HOW, _WHEN = "What to count", "How to count", "What to make of it"
"""The panels of `reconcile run --help`."""


_Bucket = Annotated[
    str | None, _option("A bucket's name, s3://name/prefix, or a folder (with a slash: ./photos).", _WHERE)
]
_ImagesPrefix = Annotated[str | None, _option("Where the photos lie in it (default: bin-images/).", _WHERE)]
_RecordsPrefix = Annotated[str | None, _option("Where the JSON records lie in it (default: metadata/).", _WHERE)]
_Records = Annotated[
    str | None,
    _option("A table instead of JSON records: .csv, .parquet or .jsonl, local or s3://.", _WHERE),
]
_RecordsColumns = Annotated[
    str | None, _option("What that table calls its columns: bin_id=LOCATION,expected_quantity=QTY.", _WHERE)
]
_Limit = Annotated[int | None, _option("Only the first N photos in listing order, and their records.", _WHERE)]
_EndpointUrl = Annotated[str | None, _option("Another S3 server than Amazon's.", _WHERE)]
_Region = Annotated[str | None, _option("AWS region.", _WHERE)]
_Profile = Annotated[str | None, _option("Profile of the AWS configuration.", _WHERE)]
_NoSignRequest = Annotated[
    bool | None,
    typer.Option(
        "--no-sign-request",
        help="Read a public bucket without credentials.",
        rich_help_panel=_WHERE,
        show_default=False,
    ),
]
_Model = Annotated[Path | None, _option("An ONNX file made by `reconcile export` (default: the shipped one).", _HOW)]
_Device = Annotated[str | None, _option("auto, cpu, cuda or tensorrt (default: auto).", _HOW)]
_BatchSize = Annotated[int | None, _option("Photos the model is given at a time (default: 32).", _HOW)]
_Out = Annotated[
    str | None,
    _option("Where counts, records and runs are kept: a folder or s3://name/prefix (default: reconcile-out).", _WHEN),
]
_RunId = Annotated[str | None, _option("Name of the run's folder (default: the time).", _WHEN)]
_MaxUnreadable = Annotated[
    str | None, _option("End with code 3 if a larger share of the photos is unreadable (default: 5%).", _WHEN)
]
_Alarm = Annotated[
    str | None, _option("End with code 4 if this share of the compared bins is short or over, such as 60%.", _WHEN)
]
_LogFormat = Annotated[str | None, _option("text or json, on standard error (default: text).", _WHEN)]


@app.command()
def run(
    context: typer.Context,
    bucket: _Bucket = None,
    images_prefix: _ImagesPrefix = None,
    records_prefix: _RecordsPrefix = None,
    records: _Records = None,
    records_columns: _RecordsColumns = None,
    limit: _Limit = None,
    endpoint_url: _EndpointUrl = None,
    region: _Region = None,
    profile: _Profile = None,
    no_sign_request: _NoSignRequest = None,
    model: _Model = None,
    device: _Device = None,
    batch_size: _BatchSize = None,
    out: _Out = None,
    run_id: _RunId = None,
    max_unreadable: _MaxUnreadable = None,
    alarm: _Alarm = None,
    log_format: _LogFormat = None,
) -> None:
    """Count what is new in a bucket, join with its records, write the night's results and report.

    Every option can also be set as RECONCILE_<OPTION> or in ./reconcile.toml. Run again to go on where a run stopped.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 too many photos unreadable, 4 discrepancy alarm,
    130 interrupted.
    """
    from reconcile.config import load_settings

    _run(load_settings(context.params))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the drawn bucket and the results.")] = Path("reconcile-demo"),
) -> None:
    """Run the main job on 200 bins: of Amazon's public bucket, or drawn ones where that cannot be reached."""
    from reconcile.config import load_settings
    from reconcile.demo import demo_settings

    values, notice = demo_settings(out)
    _run(load_settings(values, alone=True), notice)


@app.command()
def doctor(
    context: typer.Context,
    bucket: _Bucket = None,
    images_prefix: _ImagesPrefix = None,
    records_prefix: _RecordsPrefix = None,
    records: _Records = None,
    records_columns: _RecordsColumns = None,
    endpoint_url: _EndpointUrl = None,
    region: _Region = None,
    profile: _Profile = None,
    no_sign_request: _NoSignRequest = None,
    model: _Model = None,
    device: _Device = None,
    out: _Out = None,
) -> None:
    """Check versions, GPU, model, bucket and output, and say what to do about each thing that fails."""
    from reconcile.config import load_settings

    settings = load_settings(context.params, need_bucket=False)
    from reconcile.doctor import examine

    failed = 0
    for finding in examine(settings):
        failed += not finding.good
        print(f"{'ok  ' if finding.good else 'FAIL'}  {finding.subject:<10} {finding.text}", flush=True)
    if failed:
        raise ReconcileError(f"{failed} of these things would stop a run")


@app.command()
def train(
    data: Annotated[Path, typer.Option(help="Folder with labels.csv and bin-images/.", exists=True, file_okay=False)],
    recipe: Annotated[Path | None, typer.Option(help="TOML file; the shipped model's by default.", exists=True)] = None,
    out: Annotated[Path, typer.Option(help="Checkpoints, metrics and decoded photos go here.")] = Path("training"),
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint in --out.")] = True,
) -> None:
    """Train a ResNet34 after a recipe. Needs the extra `train`."""
    _need_training_extra()
    from reconcile.resources import resource
    from reconcile.training.recipe import read_recipe
    from reconcile.training.train import train

    best = train(data, read_recipe(recipe or resource("models", "recipe.toml")), out, resume=resume)
    print(f"best checkpoint: {best}")


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Option(help="best.pt of a training.", exists=True, dir_okay=False)],
    data: Annotated[Path, typer.Option(help="The folder it was trained on.", exists=True, file_okay=False)],
    destination: Annotated[Path, typer.Option("--to", help="The ONNX file to write.")],
    precision: Annotated[Precision, typer.Option(help="int8 is the faster one on CPUs.")] = Precision.INT8,
) -> None:
    """Calibrate a trained checkpoint and write it as an ONNX file for `reconcile run --model`."""
    _need_training_extra()
    from reconcile.training.export import export

    export(checkpoint, data, destination, precision.value)


def _need_training_extra() -> None:
    from importlib.util import find_spec

    if find_spec("torch") is None or find_spec("torchvision") is None or find_spec("onnxscript") is None:
        raise ReconcileError("training needs the extra `train`: in a checkout, make dev or pip install '.[train]'")


def _run(settings: Settings, notice: str | None = None) -> NoReturn:
    """One run; whatever ends it is told in the form of log that was asked for.

    Args:
        settings: of the run.
        notice: told first, in the log and in the report.
    """
    from reconcile.messages import Messages
    from reconcile.pipeline import new_run_id, run

    run_id = settings.run_id or new_run_id()
    messages = Messages(settings.log_format, run_id)
    if notice:
        messages.say(notice)
    try:
        summary = run(settings, run_id, messages, notice)
    except (Exception, KeyboardInterrupt) as error:
        code, line = _explain(error)
        messages.error(line)
        raise typer.Exit(code) from None
    for name, value in summary.lines():
        print(f"{name:<18} {value}")
    if summary.exit_reason:
        messages.error(summary.exit_reason)
    raise typer.Exit(summary.exit_code)


def main() -> NoReturn:
    """The console script: whatever goes wrong ends in one line and an exit code."""
    interruption.listen()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr] # a log in ASCII loses a letter, not the run
    try:
        app()
    except Exception as error:
        code, line = _explain(error)
        print(f"reconcile: {line}", file=sys.stderr)
        sys.exit(code)
    sys.exit(0)


def _explain(error: BaseException) -> tuple[int, str]:
    """Exit code and line; what nobody thought of can be looked into with RECONCILE_DEBUG=1."""
    if interruption.is_requested():
        return _INTERRUPTED, "interrupted; what was counted is kept, run the same command again to go on"
    if isinstance(error, ReconcileError):
        return _USAGE if isinstance(error, UsageError) else _FAILED, " ".join(str(error).split())
    if os.environ.get(_DEBUG):
        raise error
    return _FAILED, " ".join(f"unexpected {type(error).__name__}: {error} (set {_DEBUG}=1 to see where)".split())
