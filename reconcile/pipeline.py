"""One night from beginning to end: count what is new, reconcile, report."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
from jinja2 import UndefinedError

from reconcile import interruption
from reconcile.bucket import Bucket, S3Access, StoredObject, bring_file, is_folder, open_bucket
from reconcile.costs import read_costs
from reconcile.counting import read_records
from reconcile.discrepancy import ErrorModel
from reconcile.engines.choice import open_engine
from reconcile.error_learning import learn_errors
from reconcile.errors import ReconcileError, UsageError
from reconcile.expectation import expected_of_night
from reconcile.history import earlier_nights
from reconcile.interruption import Interrupted
from reconcile.judging import Judge
from reconcile.keys import Keys, of_json
from reconcile.labels import CountLabels
from reconcile.lock import locked
from reconcile.reconciliation import Night
from reconcile.records_table import table_format
from reconcile.report import render_report
from reconcile.results import Results, check_pattern
from reconcile.store import RUN_ID_FORM, Output
from reconcile.summary import EXIT_FAILED, Summary
from reconcile.verdicts import FOLDER, last_recounts, recounts_for
from reconcile.work_folder import work_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconcile.backlog import Backlog, Page
    from reconcile.config import Settings
    from reconcile.engines.engine import Engine
    from reconcile.error_learning import LearnedErrors
    from reconcile.messages import Messages

_NOT_IN_REPORT = {"log_format", "run_id"}


class Places(NamedTuple):
    """What a run works with, opened and found good."""

    bucket: Bucket
    output: Output
    engine: Engine


def new_run_id() -> str:
    """The time, such as 20261123T021500.123Z: run ids sort by it."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z"


def run(settings: Settings, run_id: str, messages: Messages, notice: str | None = None) -> Summary:
    """Count every image that this model has not counted, join with the records, write the night's results.

    Args:
        settings: what `reconcile run` was told.
        run_id: the folder under <out>/runs/.
        messages: where progress goes.
        notice: what everybody who reads the report has to know first.

    Returns:
        the numbers, as in summary.json, with the exit code that follows from them.

    Raises:
        ReconcileError: no bucket, no credentials, no model, no output, or another run is at work in it: in one line,
            before any work starts. Or the work itself cannot go on, for want of room, say.
        Interrupted: while counting or reading; another KeyboardInterrupt at any other time.
    """
    return run_over(open_places(settings, messages), settings, run_id, messages, notice)


def run_over(places: Places, settings: Settings, run_id: str, messages: Messages, notice: str | None = None) -> Summary:
    """The same, over what `open_places` opened."""
    started = datetime.now(UTC)
    with locked(places.output, run_id, messages.warn):
        return _run(settings, places, run_id, started, messages, notice)


def _run(
    settings: Settings, places: Places, run_id: str, started: datetime, messages: Messages, notice: str | None
) -> Summary:
    """The run, once <out> is its own."""
    bucket, output, engine = places
    model = engine.model
    if output.has_finished(run_id):
        raise ReconcileError(f"run {run_id} is finished already; choose another --run-id")
    messages.say(
        f"run {run_id}: {bucket.location} → {output.location}, model {model.model_id}, {engine.device}, {engine.size}"
    )
    summary = Summary(
        run_id=run_id,
        bucket=bucket.location,
        started_at=started.isoformat(timespec="seconds"),
        model_version=model.card.version,
        model_id=model.model_id,
        labels=list(model.card.labels.names),
        notice=notice,
        provider=engine.device,
        parameters={
            name: value
            for name, value in settings.model_dump(mode="json", exclude=_NOT_IN_REPORT).items()
            if value is not None and value is not False and value != {}
        },
    )
    _work(settings, places, summary, messages)
    return summary


def render_again(settings: Settings, run_id: str, reach: dict[str, Any], *, photos: bool) -> str:
    """Render the report of a finished run from what it left; nothing is counted, joined or judged anew.

    Args:
        settings: where <out> is, and how it is reached.
        run_id: of the run.
        reach: what is said of the bucket that the photos are in (bucket, endpoint_url, …) where it is not as it was.
        photos: whether to fetch them.

    Returns:
        where the report is.

    Raises:
        ReconcileError: there is no such finished run, it is of a form that is not known here, or none of its photos can
            be had: then the report stays as it was.
    """
    output = open_output(settings)
    with tempfile.TemporaryDirectory(prefix="reconcile-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        is_a_name = RUN_ID_FORM.fullmatch(run_id) is not None
        found = output.local_run_file(run_id, "summary.json", work) if is_a_name else None
        reconciled = output.local_run_file(run_id, "reconciled.parquet", work) if is_a_name else None
        if found is None or reconciled is None:
            raise ReconcileError(f"there is no finished run {run_id[:100]} in {output.location}")
        try:
            summary = Summary.from_dict(json.loads(found.read_bytes()))
            labels = CountLabels(tuple(summary.labels))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ReconcileError(f"run {run_id} is of a version that is not known here: {error}") from None
        bucket = _bucket_of(summary, reach) if photos else None
        with Results(reconciled, labels, work) as results:
            try:
                earlier = earlier_nights(output, summary, work)
                html = render_report(results, bucket, summary, earlier, need_photos=photos)
            except (duckdb.Error, UndefinedError) as error:
                detail = str(error).splitlines()[0][:200]
                raise ReconcileError(f"run {run_id} is of a version that is not known here: {detail}") from None
    return output.write_run_file(run_id, "report.html", html.encode())


def _bucket_of(summary: Summary, reach: dict[str, Any]) -> Bucket:
    """The bucket that a run was over, reached as it was unless something else is said."""
    how = summary.parameters | reach
    access = S3Access(
        how.get("endpoint_url"), how.get("region"), how.get("profile"), bool(how.get("no_sign_request", False))
    )
    return open_bucket(reach.get("bucket") or summary.bucket, access)


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
    return Output(open_bucket(_as_folder(settings.out), access, create=create))


def output_folder(settings: Settings) -> Path | None:
    """The folder that <out> names, whether or not it is there; None where <out> is on S3."""
    location = _as_folder(settings.out)
    return Path(location).expanduser().resolve() if is_folder(location) else None


def _as_folder(out: str) -> str:
    """A bare word is a folder here: nobody's first --out is the name of a bucket."""
    return out if "/" in out or out.startswith((".", "~")) else f"./{out}"


def _work(settings: Settings, places: Places, summary: Summary, messages: Messages) -> None:
    """Everything that takes time: list, count, read records, join, report."""
    model = places.engine.model
    counts_folder = f"counts/{model.model_id}"
    is_limited = settings.limit is not None
    with work_folder() as work:
        output = places.output
        places.engine.take_up(places.bucket, output)
        parts = (output.local_parts(counts_folder, work), output.local_parts("records", work))
        night = Night(work, model.card.labels, *parts)
        images, records = night.backlog("images_to_count"), night.backlog("records_to_read")
        try:
            verdicts = output.local_parts(FOLDER, work)
            night.use_verdicts(verdicts)
            if settings.costs is not None:
                path = bring_file(settings.costs, s3_access(settings), work)
                night.use_costs(read_costs(path, settings.costs, messages.warn))
            if settings.records is not None:
                path = bring_file(settings.records, s3_access(settings), work)
                night.use_table_records(path, settings.records, settings.records_columns, only_of_images=is_limited)
            keys = _keys(settings, places.bucket, work, messages)
            # Nothing is counted before it is sure that there are photos, and records to hold them against.
            photos = night.new_images(_photos(settings, keys or places.bucket), settings.limit)
            images.fill(_told(photos, "photos", messages))
            if settings.records is None and not is_limited:
                listed = night.new_records(_records(settings, keys or places.bucket), only_of_images=False)
                records.fill(_told(listed, "records", messages))
                _need_a_page(records, places.bucket, "records", settings.records_prefix)
            _need_a_page(images, places.bucket, "photos", settings.images_prefix)
            taken = _count(settings, places, images, summary, messages)
            summary.images = night.image_count
            summary.already_counted = summary.images - taken
            if settings.records is None:
                if is_limited:  # which records are wanted is known only now
                    listed = night.new_records(_records(settings, keys or places.bucket), only_of_images=True)
                    records.fill(_told(listed, "records", messages))
                _read_records(places, records, summary, messages)
                night.use_json_records()
            night.use_parts(output.local_parts(counts_folder, work), output.local_parts("records", work))
            _finish(settings, places, night, verdicts, work, summary, messages)
        finally:
            images.close()
            records.close()
            night.close()


def _keys(settings: Settings, bucket: Bucket, work: Path, messages: Messages) -> Keys | None:
    """What tells the objects of the bucket instead of a listing, if something does."""
    if settings.keys is None:
        return None
    keys = Keys(settings.keys, s3_access(settings), bucket, work)
    messages.say(keys.in_words(), stage="list")
    return keys


def _photos(settings: Settings, told_by: Bucket | Keys) -> Iterator[Page]:
    """Pages of photos. Where records lie among them, those are the objects that end in .json."""
    pages = told_by.pages(settings.images_prefix)
    return _only(pages, is_json=False) if _overlap(settings) else iter(pages)


def _records(settings: Settings, told_by: Bucket | Keys) -> Iterator[Page]:
    pages = told_by.pages(settings.records_prefix)
    return _only(pages, is_json=True) if _overlap(settings) else iter(pages)


def _overlap(settings: Settings) -> bool:
    images, records = (prefix.strip("/") + "/" for prefix in (settings.images_prefix, settings.records_prefix))
    return images == "/" or records == "/" or images.startswith(records) or records.startswith(images)


def _only(pages: Iterable[Page], *, is_json: bool) -> Iterator[Page]:
    for page in pages:
        if isinstance(page, list):
            yield [stored for stored in page if stored.key.lower().endswith(".json") == is_json]
        else:
            yield of_json(page, is_json=is_json)


def _need_a_page(backlog: Backlog, bucket: Bucket, what: str, prefix: str) -> None:
    if not backlog.has_a_page():
        flag = "--images-prefix" if what == "photos" else "--records-prefix"
        raise ReconcileError(f"there are no {what} under {bucket.url(prefix)}; is {flag} right?")


def _told(pages: Iterator[list[StoredObject]], what: str, messages: Messages) -> Iterator[list[StoredObject]]:
    """The same pages; at their end a line says how many there were, and how long it took."""
    started, new = time.monotonic(), 0
    for page in pages:
        new += len(page)
        yield page
    seconds = round(time.monotonic() - started, 2)
    messages.say(f"{what} listed in {seconds:.1f} s, {new:,} of them new", stage="list", new=new, seconds=seconds)


def _count(settings: Settings, places: Places, images: Backlog, summary: Summary, messages: Messages) -> int:
    """Count, and say how many images were taken, unreadable ones included."""
    with (
        _telling_of_a_stop("photos counted", "count", images, messages),
        messages.naming("photos", "count") as complain,
        messages.progress("counting", images, stage="count") as advance,
    ):
        counted = places.engine.count(places.bucket, images, places.output, advance, complain)
    summary.counted, summary.seconds["count"] = counted.objects - counted.failed, round(counted.seconds, 2)
    if counted.objects:
        summary.images_per_second = round(counted.objects / counted.seconds, 1)
    messages.say(
        f"{summary.counted:,} images counted in {counted.seconds:.1f} s, {counted.failed:,} could not be read",
        stage="count",
        counted=summary.counted,
        unreadable=counted.failed,
        seconds=summary.seconds["count"],
    )
    return counted.objects


def _read_records(places: Places, records: Backlog, summary: Summary, messages: Messages) -> None:
    with (
        _telling_of_a_stop("records read", "records", records, messages),
        messages.naming("records", "records") as complain,
        messages.progress("reading records", records, stage="records") as advance,
    ):
        read = read_records(places.bucket, records, places.output, advance, complain)
    summary.seconds["records"] = round(read.seconds, 2)
    messages.say(
        f"{read.objects:,} new records read in {read.seconds:.1f} s, {read.failed:,} of them invalid",
        stage="records",
        read=read.objects,
        invalid=read.failed,
        seconds=summary.seconds["records"],
    )


@contextmanager
def _telling_of_a_stop(what: str, stage: str, backlog: Backlog, messages: Messages) -> Iterator[None]:
    try:
        yield
    except Interrupted as stop:
        total = f"{backlog.total:,}" if backlog.is_complete else f"at least {backlog.total:,}"
        messages.warn(f"stopped with {stop.kept:,} of {total} {what} and kept", stage=stage, kept=stop.kept)
        raise


def _finish(
    settings: Settings,
    places: Places,
    night: Night,
    verdicts: list[str],
    work: Path,
    summary: Summary,
    messages: Messages,
) -> None:
    """Join, report, and last of all the summary: a run is finished when that is there."""
    output, labels = places.output, places.engine.model.card.labels
    with _timed(summary, "reconcile"):
        errors = _judge(settings, places, night, verdicts, work, summary)
        night.close()  # its tables have said all they know, and the report needs memory too
    with Results(work / "reconciled.parquet", labels, work) as results:
        with _timed(summary, "reconcile"):
            results.write_recount_list(work / "recount.csv", summary.run_id, settings.capacity)
            _sum_up(settings, results, errors, summary)
            unknown = results.without_value() if settings.rank_by == "value" else 0
            if unknown:
                messages.warn(
                    f"--rank-by value: {unknown:,} of {summary.queued:,} bins in the queue have no item whose cost is "
                    "known; they come last, by p wrong"
                )
            for name in ("reconciled.parquet", "recount.csv"):
                output.write_run_file(summary.run_id, name, work / name)
        _tell_of_the_end(f"{summary.rows:,} rows reconciled", "reconcile", summary, messages)
        with _timed(summary, "report"):
            html = render_report(results, places.bucket, summary, earlier_nights(output, summary, work))
    summary.report = output.write_run_file(summary.run_id, "report.html", html.encode())
    _tell_of_the_end("report rendered", "report", summary, messages)
    interruption.check()  # a lock that was lost while something was written, say
    output.write_run_file(summary.run_id, "summary.json", json.dumps(summary.as_dict(), indent=2).encode())


def _judge(
    settings: Settings, places: Places, night: Night, verdicts: list[str], work: Path, summary: Summary
) -> LearnedErrors:
    """Learn from the recounts so far, then judge and rank every bin."""
    card = places.engine.model.card
    recounts = recounts_for(card.labels, verdicts, work)
    errors = learn_errors(ErrorModel(rate=settings.record_error_rate), recounts, card.labels)
    judge = Judge(card.labels, card.class_prior, errors, settings.tolerance)
    mix = night.reconcile(work / "reconciled.parquet", judge, settings.rank_by)
    summary.mix = None if mix is None else [round(float(share), 5) for share in mix]
    summary.class_prior = list(card.class_prior)
    summary.learned_from = 0 if recounts is None else len(recounts.found)
    found = last_recounts(summary.bucket, verdicts, work)
    summary.recounts = None if found is None else found.as_dict()
    return errors


def _sum_up(settings: Settings, results: Results, errors: LearnedErrors, summary: Summary) -> None:
    """The numbers of the night, and the exit code that follows from them."""
    totals = results.table("totals")
    summary.totals = {str(status): int(bins) for status, bins in zip(totals["status"], totals["bins"], strict=True)}
    summary.rows = sum(summary.totals.values())
    summary.capacity, summary.rank_by, summary.tolerance = settings.capacity, settings.rank_by, settings.tolerance
    summary.record_error_rate = round(errors.model.rate, 4)
    for name, number in results.table("overview").iloc[0].items():
        setattr(summary, str(name), int(number))
    bins = results.batches("expectation", tolerance=settings.tolerance)
    expected = expected_of_night(bins, errors, settings.capacity)
    if expected is not None:
        summary.expected_wrong = expected.wrong.as_dict()
        summary.expected_wrong_in_queue = expected.wrong_in_queue.as_dict()
        summary.record_accuracy = expected.accuracy.as_dict()
    summary.judge(settings.max_unreadable, settings.alarm)
    if summary.exit_code == EXIT_FAILED:
        photo, record = results.table("unmatched").iloc[0]
        records = f"records such as {record}" if isinstance(record, str) else "no records at all"
        summary.exit_reason = f"{summary.exit_reason}: photos such as {photo}, {records}"


@contextmanager
def _timed(summary: Summary, stage: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        summary.seconds[stage] = round(summary.seconds.get(stage, 0.0) + time.monotonic() - started, 2)


def _tell_of_the_end(what: str, stage: str, summary: Summary, messages: Messages) -> None:
    seconds = summary.seconds[stage]
    messages.say(f"{what} in {seconds:.1f} s", stage=stage, seconds=seconds)
