"""Commands of every night: run, report, prune; and those of the first five minutes: demo, doctor."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from reconcile.cli import options
from reconcile.cli.exits import INTERRUPTED, describe_error, report_failure
from reconcile.concurrency import cancellation
from reconcile.errors import ReconcileError, UsageError
from reconcile.logs import RunLog, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconcile.config import Settings


def run(
    context: typer.Context,
    bucket: options.Bucket = None,
    images_prefix: options.ImagesPrefix = None,
    records_prefix: options.RecordsPrefix = None,
    keys: options.Keys = None,
    records: options.Records = None,
    records_columns: options.RecordsColumns = None,
    limit: options.Limit = None,
    endpoint_url: options.EndpointUrl = None,
    region: options.Region = None,
    profile: options.Profile = None,
    no_sign_request: options.NoSignRequest = None,
    model: options.Model = None,
    device: options.Device = None,
    batch_size: options.BatchSize = None,
    engine: options.Engine = None,
    image_uri: options.ImageUri = None,
    role: options.Role = None,
    instance_type: options.InstanceType = None,
    instance_count: options.InstanceCount = None,
    sagemaker_options: options.SagemakerOptions = None,
    ray_address: options.RayAddress = None,
    ray_gpus_per_actor: options.RayGpusPerActor = None,
    out: options.Out = None,
    run_id: options.RunId = None,
    max_unreadable: options.MaxUnreadable = None,
    max_invalid: options.MaxInvalid = None,
    alarm: options.Alarm = None,
    record_error_rate: options.RecordErrorRate = None,
    capacity: options.Capacity = None,
    rank_by: options.RankBy = None,
    costs: options.Costs = None,
    tolerance: options.Tolerance = None,
    where: options.Where = None,
    stale_after: options.StaleAfter = None,
    log_format: options.LogFormat = None,
) -> None:
    """Count what is new in a bucket, join with its records, write the night's results and report.

    Every option can also be set as RECONCILE_<OPTION> or in ./reconcile.toml. Run again to go on where a run stopped.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 too many photos unreadable or records invalid,
    4 discrepancy alarm, 130 interrupted.
    """
    from reconcile.config import unknown_variables

    asked_for = log_format or os.environ.get("RECONCILE_LOG_FORMAT")
    with report_failure(RunLog("json" if asked_for == "json" else "text")):
        settings = _settings(context.params)
    warnings = [f"{name} is set in the environment, and is no setting of reconcile" for name in unknown_variables()]
    from reconcile.output.run_ids import is_rewritten_by_spreadsheets

    if settings.run_id and is_rewritten_by_spreadsheets(settings.run_id):
        warnings.append(
            f"a spreadsheet may take --run-id {settings.run_id} for a date or a number; "
            "verdicts from it then belong to no run"
        )
    _run(settings, warnings=warnings)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the drawn bucket and the results.")] = Path("reconcile-demo"),
) -> None:
    """Run the main job on 200 bins: of Amazon's public bucket, or drawn ones where that cannot be reached."""
    from reconcile.config import load_settings
    from reconcile.pipeline.demo import demo_settings

    values, notice = demo_settings(out)
    _run(load_settings(values, alone=True), notice, open_report=True)


def report(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or the path of its folder or report.")],
    out: options.Out = None,
    bucket: options.Bucket = None,
    endpoint_url: options.EndpointUrl = None,
    region: options.Region = None,
    profile: options.Profile = None,
    no_sign_request: options.NoSignRequest = None,
    photos: Annotated[bool, typer.Option(help="Fetch the photos of the queue.")] = True,
) -> None:
    """Render the report of a finished run again, from the Parquet it left.

    Photos come from the run's own bucket unless another is named; one that has changed since is left out.
    """
    from reconcile.config import load_settings
    from reconcile.output.run_ids import out_and_run_id

    out_in_path, run_id = out_and_run_id(run_id)
    if "/" in run_id:
        raise UsageError(f"{run_id} is neither a run's id nor a path such as OUT/runs/ID")
    if out and out_in_path:
        raise UsageError(f"RUN says that it is in {out_in_path}; leave out --out, or name the run's id alone")
    flags = {"out": out or out_in_path, "endpoint_url": endpoint_url, "region": region, "profile": profile}
    settings = load_settings(flags, need_bucket=False)
    from reconcile.locations import output_folder
    from reconcile.pipeline.rerender import render_again

    folder = output_folder(settings)
    if folder is not None and not folder.is_dir():
        raise ReconcileError(f"there is no such folder: {folder}; say --out, or name the run by its path")
    said = flags | {"bucket": bucket, "no_sign_request": no_sign_request}
    reach = {name: value for name, value in said.items() if value is not None and name != "out"}
    print(render_again(settings, run_id, reach, photos=photos))


def prune(
    keep: Annotated[int, typer.Option(help="How many finished runs stay, the newest ones.", min=1)] = 30,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, for cron.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    out: options.Out = None,
    endpoint_url: options.EndpointUrl = None,
    region: options.Region = None,
    profile: options.Profile = None,
) -> None:
    """Remove old runs, and the counts of models that no kept run used. Verdicts and records stay.

    Says what it would remove, and asks. Runs that never finished go too, once a later one has finished.

    Exit codes: 0 done, 1 failed, or not wanted, 2 wrong usage, 130 interrupted.
    """
    output = options.output(out, endpoint_url, region, profile)
    from reconcile.output.retention import apply_removal, plan_removal

    messages = RunLog("text")
    with report_failure(messages):
        old = plan_removal(output, keep)
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
            if not _agrees(f"Remove {old.in_words} from {output.location}?"):
                raise ReconcileError("nothing was removed")
        print(f"{apply_removal(output, keep, old, messages).in_words} removed from {output.location}")


def _agrees(question: str) -> bool:
    try:
        return typer.confirm(question)
    except typer.Abort:  # Ctrl-C, or the end of the input
        if cancellation.is_requested():
            raise KeyboardInterrupt from None
        return False


def doctor(
    context: typer.Context,
    bucket: options.Bucket = None,
    images_prefix: options.ImagesPrefix = None,
    records_prefix: options.RecordsPrefix = None,
    keys: options.Keys = None,
    records: options.Records = None,
    records_columns: options.RecordsColumns = None,
    stale_after: options.StaleAfter = None,
    endpoint_url: options.EndpointUrl = None,
    region: options.Region = None,
    profile: options.Profile = None,
    no_sign_request: options.NoSignRequest = None,
    model: options.Model = None,
    device: options.Device = None,
    batch_size: options.BatchSize = None,
    engine: options.Engine = None,
    image_uri: options.ImageUri = None,
    role: options.Role = None,
    instance_type: options.InstanceType = None,
    instance_count: options.InstanceCount = None,
    sagemaker_options: options.SagemakerOptions = None,
    ray_address: options.RayAddress = None,
    ray_gpus_per_actor: options.RayGpusPerActor = None,
    out: options.Out = None,
) -> None:
    """Check versions, GPU, model, bucket and output, and say what to do about each thing that fails.

    With --engine it looks at SageMaker, or at the Ray cluster, instead of at this machine's model.
    """
    settings = _settings(context.params, need_bucket=False)
    from reconcile.doctor.environment import run_checks

    failed = 0
    for finding in run_checks(settings):
        failed += finding.status == "FAIL"
        print(f"{finding.status:<4}  {finding.subject:<10} {printable(finding.text)}", flush=True)
    if failed:
        raise ReconcileError(f"{failed} of these things would stop a run")


def _settings(flags: dict[str, Any], *, need_bucket: bool = True) -> Settings:
    """Settings of a run. Flags of an engine that is not chosen are a slip; environment and file may keep its settings.

    Raises:
        UsageError: there is such a flag, or something else is wrong with them.
    """
    from reconcile.config import load_settings

    settings = load_settings(flags, need_bucket=need_bucket)
    for engine, names in options.OF_AN_ENGINE.items():
        given = [f"--{name.replace('_', '-')}" for name in names if flags.get(name) is not None]
        if given and settings.engine != engine:
            are = "are" if len(given) > 1 else "is"
            raise UsageError(f"{', '.join(given)} {are} for --engine {engine}, and the engine is {settings.engine}")
    return settings


def _run(
    settings: Settings, notice: str | None = None, warnings: Iterable[str] = (), *, open_report: bool = False
) -> NoReturn:
    """One run; whatever ends it is told in the form of log that was asked for.

    Args:
        settings: of the run.
        notice: told first, in the log and in the report.
        warnings: told in the log.
        open_report: print the report's `file://` address as the last line. `<out>` must be a local folder.
    """
    from reconcile.concurrency.process import tune_for_batch
    from reconcile.output.run_ids import new_run_id
    from reconcile.pipeline.run import run

    tune_for_batch()
    run_id = settings.run_id or new_run_id()
    messages = RunLog(settings.log_format, run_id)
    for warning in warnings:
        messages.warn(warning)
    if notice:
        messages.info(notice)
    try:
        summary = run(settings, run_id, messages, notice)
    except (Exception, KeyboardInterrupt) as error:
        code, line = describe_error(error, stopped=cancellation.is_requested())
        # Under cron nobody knows by heart what the command was.
        messages.error(f"{line}: {shlex.join(sys.argv)}" if code == INTERRUPTED else line)
        raise typer.Exit(code) from None
    lines = dict(summary.lines())
    width = max(map(len, lines))
    text = "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())
    if open_report:
        text += f"\nOpen {Path(summary.report).as_uri()}"
    try:
        print(json.dumps(summary.as_dict()) if settings.log_format == "json" else text, flush=True)
    except OSError as error:
        messages.warn(f"the numbers cannot be printed: {error.strerror}; they are in summary.json")
    if summary.exit_reason:
        messages.error(summary.exit_reason)
    raise typer.Exit(summary.exit_code)
