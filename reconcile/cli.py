"""The commands: parse, call, print. Heavy modules are imported where they are used, so that --help is instant."""

from __future__ import annotations

import json
import os
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from reconcile import __version__, interruption
from reconcile.channel import left_behind
from reconcile.errors import DEBUG, ReconcileError, UsageError
from reconcile.messages import Messages, printable
from reconcile.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd

    from reconcile.config import Settings
    from reconcile.store import Output

app = typer.Typer(
    help="Count the items in every bin photo of a bucket, hold each count against the record, say what to recount.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130


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
_BatchSize = Annotated[int | None, _option("Photos the model is given at a time (default: 32; on a GPU 128).", _HOW)]
_Out = Annotated[
    str | None,
    _option("Where counts, records and runs are kept: a folder or s3://name/prefix (default: reconcile-out).", _WHEN),
]
_RunId = Annotated[str | None, _option("Name of the run's folder (default: the time).", _WHEN)]
_MaxUnreadable = Annotated[
    str | None, _option("End with code 3 if a larger share of the photos is unreadable (default: 5%).", _WHEN)
]
_Alarm = Annotated[
    str | None, _option("End with code 4 if so many of the compared bins are short or over, such as 2%.", _WHEN)
]
_RecordErrorRate = Annotated[
    str | None,
    _option("Share of all records assumed to be wrong, until recounts tell (default: 3%).", _WHEN),
]
_Capacity = Annotated[int | None, _option("How many bins tonight's people can recount (default: 100).", _WHEN)]
_RankBy = Annotated[
    str | None,
    _option("Recount first what is most likely wrong (probability), or off by most units or value.", _WHEN),
]
_Costs = Annotated[str | None, _option("CSV of asin,unit_cost, local or s3://, for --rank-by value.", _WHEN)]
_Tolerance = Annotated[
    int | None, _option("Records off by so many items still count as right in the accuracy (default: 0).", _WHEN)
]
_Where = Annotated[
    str | None,
    _option("Parts of a bin id (else of its key) to sum up by: '(?P<aisle>A\\d+)-(?P<pod>\\d+)'.", _WHEN),
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
    record_error_rate: _RecordErrorRate = None,
    capacity: _Capacity = None,
    rank_by: _RankBy = None,
    costs: _Costs = None,
    tolerance: _Tolerance = None,
    where: _Where = None,
    log_format: _LogFormat = None,
) -> None:
    """Count what is new in a bucket, join with its records, write the night's results and report.

    Every option can also be set as RECONCILE_<OPTION> or in ./reconcile.toml. Run again to go on where a run stopped.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 too many photos unreadable, 4 discrepancy alarm,
    130 interrupted.
    """
    from reconcile.config import load_settings, unknown_variables

    asked_for = log_format or os.environ.get("RECONCILE_LOG_FORMAT")
    with _telling_of_a_stop(Messages("json" if asked_for == "json" else "text")):
        settings = load_settings(context.params)
    unknown = [f"{name} is set in the environment, and is no setting of reconcile" for name in unknown_variables()]
    _run(settings, warnings=unknown)


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
def report(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, the name of its folder in <out>/runs.")],
    out: _Out = None,
    bucket: _Bucket = None,
    endpoint_url: _EndpointUrl = None,
    region: _Region = None,
    profile: _Profile = None,
    no_sign_request: _NoSignRequest = None,
    photos: Annotated[bool, typer.Option(help="Fetch the photos of the queue.")] = True,
) -> None:
    """Render the report of a finished run again, from the Parquet it left.

    Photos come from the run's own bucket unless another is named; one that has changed since is left out.
    """
    from reconcile.config import load_settings

    flags = {"out": out, "endpoint_url": endpoint_url, "region": region, "profile": profile}
    settings = load_settings(flags, need_bucket=False)
    from reconcile.pipeline import render_again

    said = flags | {"bucket": bucket, "no_sign_request": no_sign_request}
    reach = {name: value for name, value in said.items() if value is not None and name != "out"}
    print(render_again(settings, run_id, reach, photos=photos))


@app.command()
def prune(
    keep: Annotated[int, typer.Option(help="How many finished runs stay, the newest ones.", min=1)] = 30,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, for cron.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    out: _Out = None,
    endpoint_url: _EndpointUrl = None,
    region: _Region = None,
    profile: _Profile = None,
) -> None:
    """Remove old runs, and the counts of models that no kept run used. Verdicts and records stay.

    Says what it would remove, and asks. Runs that never finished go too, once a later one has finished.

    Exit codes: 0 done, 1 failed, or not wanted, 2 wrong usage, 130 interrupted.
    """
    from reconcile.messages import Messages

    output = _output(out, endpoint_url, region, profile)
    from reconcile.pruning import find_old, remove_old

    messages = Messages("text")
    with _telling_of_a_stop(messages):
        old = find_old(output, keep)
        for line in old.lines:
            print(printable(line))
        if not old.objects:
            print(f"nothing is old in {output.location}")
            return
        if dry_run:
            print(f"{old.in_words} would be removed from {output.location}")
            return
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("nothing was removed: there is nobody to ask; say --yes, or --dry-run")
            if not typer.confirm(f"Remove {old.in_words} from {output.location}?"):
                raise ReconcileError("nothing was removed")
        print(f"{remove_old(output, keep, old, messages).in_words} removed from {output.location}")


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


_TRAINING = "Environment variables are those that SageMaker sets."
_Data = Annotated[
    Path,
    typer.Option(
        help="Photos with counts: labels.csv, or bin-images/ and metadata/, or one folder a count.",
        envvar=["SM_CHANNEL_TRAIN", "SM_CHANNEL_TRAINING"],
        exists=True,
        file_okay=False,
    ),
]
_Validation = Annotated[
    Path | None,
    typer.Option(
        help="Photos to hold out, in a folder of their own; else a fold of --data.",
        envvar="SM_CHANNEL_VALIDATION",
        exists=True,
        file_okay=False,
    ),
]
_Recipe = Annotated[
    Path | None, typer.Option(help="TOML file; the shipped model's by default.", exists=True, dir_okay=False)
]
_SAGEMAKER_CHECKPOINTS = Path("/opt/ml/checkpoints")
"""What SageMaker keeps of a training job that it interrupts."""


@app.command(epilog=_TRAINING)
def train(
    data: _Data,
    validation: _Validation = None,
    recipe: _Recipe = None,
    out: Annotated[
        Path | None,
        typer.Option(help=f"Checkpoints and metrics go here (default: training, or {_SAGEMAKER_CHECKPOINTS})."),
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Decoded photos go here (default: cache, in --out).")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint in --out.")] = True,
    export_to: Annotated[
        Path | None,
        typer.Option(help="Also write the trained model as int8 and fp16 ONNX here.", envvar="SM_MODEL_DIR"),
    ] = None,
) -> None:
    """Train a ResNet34 after a recipe. Needs the extra `train`.

    On several GPUs: torchrun --nproc-per-node gpu --no-python reconcile train --data DIR
    """
    _need_training_extra()
    from tempfile import gettempdir

    from reconcile.resources import resource
    from reconcile.training.export import export
    from reconcile.training.recipe import read_recipe
    from reconcile.training.train import train

    recipe = recipe or resource("models", "recipe.toml")
    read = read_recipe(recipe)
    messages = Messages("text")
    start = recipe.parent / read.start_from if read.start_from else None
    if out is None and _SAGEMAKER_CHECKPOINTS.is_dir():
        # What lies there is copied to S3 all the time, which is no place for a cache.
        out, cache = _SAGEMAKER_CHECKPOINTS, cache or Path(gettempdir(), "reconcile-cache")
    out = out or Path("training")
    with _telling_of_a_stop(messages):
        best = train(data, read, out, messages, validation=validation, start=start, cache=cache, resume=resume)
        if os.environ.get("RANK", "0") != "0":
            return
        print(f"best checkpoint: {best}")
        if export_to:
            files = {kept: export_to / f"bin-counter-{kept}.onnx" for kept in (Precision.INT8, Precision.FP16)}
            export(best, data, files, messages.say, validation=validation, cache=cache)


@app.command(epilog=_TRAINING)
def tune(
    data: _Data,
    validation: _Validation = None,
    recipe: _Recipe = None,
    trials: Annotated[int, typer.Option(help="How many trainings there are to be in all.", min=1)] = 20,
    out: Annotated[Path, typer.Option(help="The study and the best recipe go here.")] = Path("tuning"),
) -> None:
    """Search learning rate, batch size and the like with Optuna; ends in a recipe. Needs the extra `train`.

    Run again, it goes on. Its stages decide how long one trial takes.
    """
    _need_training_extra()
    from reconcile.resources import resource
    from reconcile.training.recipe import read_recipe
    from reconcile.training.tune import tune

    recipe = recipe or resource("models", "recipe.toml")
    read = read_recipe(recipe)
    start = recipe.parent / read.start_from if read.start_from else None
    messages = Messages("text")
    with _telling_of_a_stop(messages):
        best = tune(data, read, out, trials, messages, validation=validation, start=start)
    print(f"best recipe: {best}")


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Option(help="best.pt of a training.", exists=True, dir_okay=False)],
    data: Annotated[Path, typer.Option(help="The photos it was trained on.", exists=True, file_okay=False)],
    destination: Annotated[Path, typer.Option("--to", help="The ONNX file to write.")],
    validation: _Validation = None,
    precision: Annotated[
        Precision, typer.Option(help="int8 is for CPUs, fp16 for GPUs, fp32 for comparison.")
    ] = Precision.INT8,
    input_size: Annotated[
        int | None, typer.Option(help="Pixels; smaller counts faster (default: as trained).", min=32)
    ] = None,
) -> None:
    """Calibrate a trained checkpoint and write it as an ONNX file for `reconcile run --model`."""
    _need_training_extra()
    from reconcile.training.export import export

    messages = Messages("text")
    with _telling_of_a_stop(messages):
        export(checkpoint, data, {precision: destination}, messages.say, validation=validation, size=input_size)


@app.command()
def evaluate(
    data: Annotated[
        Path, _option("Photos with counts: labels.csv, or bin-images/ and metadata/, or one folder a count.", _WHERE)
    ],
    fold: Annotated[int | None, _option("Only the photos of this fold (default: all).", _WHERE)] = None,
    model: _Model = None,
    device: _Device = None,
    batch_size: _BatchSize = None,
    out: Annotated[
        Path | None, _option("Folder for evaluation.txt, evaluation.json and evaluation.html.", _WHEN)
    ] = None,
    plant: Annotated[
        str | None,
        _option("Also alter this share of the records, such as 8%, and see how well they are found.", _WHEN),
    ] = None,
    seed: Annotated[int, _option("Of intervals and altered records (default: 1).", _WHEN, min=0)] = 1,
) -> None:
    """Count photos whose count is on record, and say how good the model is.

    With --plant RATE: also how good the recount queue is, by altering records on purpose and looking for them.
    """
    from reconcile.config import load_settings

    flags = {"model": model, "device": device, "batch_size": batch_size}
    settings = load_settings(flags, need_bucket=False)
    from reconcile.evaluation_run import run_evaluation
    from reconcile.planting import planting_rate

    rate = None if plant is None else planting_rate(plant)
    messages = Messages(settings.log_format)
    try:
        print(run_evaluation(data, fold, out, seed, settings, messages, rate))
    except KeyboardInterrupt:
        messages.error("interrupted; nothing is kept of an evaluation")
        raise typer.Exit(_INTERRUPTED) from None


verdicts_app = typer.Typer(
    help="What people found who recounted bins: taken up, listed, given out.", no_args_is_help=True
)
app.add_typer(verdicts_app, name="verdicts")


@verdicts_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="recount.csv with true_count filled in, or the report's export.")],
    out: _Out = None,
    endpoint_url: _EndpointUrl = None,
    region: _Region = None,
    profile: _Profile = None,
) -> None:
    """Take up a CSV of verdicts: bin_id, run_id, true_count, and perhaps note. Later runs learn from them.

    Lines without a true_count are passed over; what is known already is not taken twice.

    Exit codes: 0 done, 1 failed, or some lines could not be taken, 2 wrong usage.
    """
    from tempfile import TemporaryDirectory

    from reconcile.verdicts import import_verdicts

    output = _output(out, endpoint_url, region, profile)
    with TemporaryDirectory(prefix="reconcile-") as work:
        taken, known, bad = import_verdicts(file, output, Path(work))
    for reason in bad:
        print(f"reconcile: {file}: {printable(reason)}", file=sys.stderr)
    print(f"{_several(taken, 'verdict')} taken, {known:,} known already, {_several(len(bad), 'line')} left out")
    if not (taken or known or bad):
        print("no line has a true_count")
    if bad:
        raise typer.Exit(_FAILED)


@verdicts_app.command("list")
def list_(
    out: _Out = None, endpoint_url: _EndpointUrl = None, region: _Region = None, profile: _Profile = None
) -> None:
    """Show the verdicts so far, the newest first."""
    table = _verdicts(_output(out, endpoint_url, region, profile))
    shown = table.drop(columns="image_key").astype(object).fillna("")
    lines = shown.to_string(index=False).split("\n") if len(shown) else ["no verdicts yet"]
    print("\n".join(map(printable, lines)))


@verdicts_app.command("export")
def export_verdicts(
    file: Annotated[Path, typer.Argument(help="The CSV file to write.")],
    out: _Out = None,
    endpoint_url: _EndpointUrl = None,
    region: _Region = None,
    profile: _Profile = None,
) -> None:
    """Write the verdicts so far as CSV."""
    from tempfile import TemporaryDirectory

    from reconcile.verdicts import verdict_csv

    output = _output(out, endpoint_url, region, profile)
    with TemporaryDirectory(prefix="reconcile-") as work:
        verdicts, content = verdict_csv(output, Path(work))
    try:
        file.write_bytes(content)
    except OSError as error:
        raise ReconcileError(f"{file} cannot be written: {error.strerror}") from None
    print(f"{_several(verdicts, 'verdict')} written to {file}")


def _output(out: str | None, endpoint_url: str | None, region: str | None, profile: str | None) -> Output:
    """<out>, as `reconcile run` would find it."""
    from reconcile.config import load_settings

    flags = {"out": out, "endpoint_url": endpoint_url, "region": region, "profile": profile}
    settings = load_settings(flags, need_bucket=False)
    from reconcile.pipeline import open_output

    return open_output(settings)


def _several(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _verdicts(output: Output) -> pd.DataFrame:
    from tempfile import TemporaryDirectory

    from reconcile.verdicts import verdict_table

    with TemporaryDirectory(prefix="reconcile-") as work:
        return verdict_table(output, Path(work))


@contextmanager
def _telling_of_a_stop(messages: Messages) -> Iterator[None]:
    """Typer would end without a word; and an error after a signal is told as what it is."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        code, line = _explain(error, stopped=isinstance(error, KeyboardInterrupt))
        messages.error(line)
        raise typer.Exit(code) from None


def _need_training_extra() -> None:
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("torch", "torchvision", "onnxscript", "optuna")):
        raise ReconcileError("training needs the extra `train`: in a checkout, make dev or pip install '.[train]'")


def _run(settings: Settings, notice: str | None = None, warnings: Iterable[str] = ()) -> NoReturn:
    """One run; whatever ends it is told in the form of log that was asked for.

    Args:
        settings: of the run.
        notice: told first, in the log and in the report.
        warnings: told in the log.
    """
    from reconcile.pipeline import new_run_id, run

    run_id = settings.run_id or new_run_id()
    messages = Messages(settings.log_format, run_id)
    for warning in warnings:
        messages.warn(warning)
    if notice:
        messages.say(notice)
    try:
        summary = run(settings, run_id, messages, notice)
    except (Exception, KeyboardInterrupt) as error:
        code, line = _explain(error, stopped=interruption.is_requested())
        # Under cron nobody knows by heart what the command was.
        messages.error(f"{line}: {shlex.join(sys.argv)}" if code == _INTERRUPTED else line)
        raise typer.Exit(code) from None
    lines = dict(summary.lines())
    width = max(map(len, lines))
    text = "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())
    try:
        print(json.dumps(lines) if settings.log_format == "json" else text, flush=True)
    except OSError as error:
        messages.warn(f"the numbers cannot be printed: {error.strerror}; they are in summary.json")
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
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except Exception as error:
        code, line = _explain(error, stopped=interruption.is_requested())
        print(f"reconcile: {line}", file=sys.stderr)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End the process; at once where a thread still waits for S3, since Python's own way makes libraries complain."""
    if left_behind():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _explain(error: BaseException, *, stopped: bool) -> tuple[int, str]:
    """Exit code and line; what nobody thought of can be looked into with RECONCILE_DEBUG=1."""
    if stopped:
        return _INTERRUPTED, "interrupted; what was done is kept, run the same command again to go on"
    if isinstance(error, ReconcileError):
        return _USAGE if isinstance(error, UsageError) else _FAILED, " ".join(str(error).split())
    if os.environ.get(DEBUG):
        raise error
    return _FAILED, " ".join(f"unexpected {type(error).__name__}: {error} (set {DEBUG}=1 to see where)".split())
