"""Phase 1 of a run: open its tables and list its photos and records."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconcile.inputs.listing import InputListing, log_listing
from reconcile.inputs.tables.formats import split_sheet
from reconcile.inputs.unit_costs import read_costs
from reconcile.reconciliation.reconciler import Reconciler, StoredParts
from reconcile.reconciliation.record_sources import JsonRecords, TableRecords
from reconcile.storage.open import download_file
from reconcile.verdicts.queries import FOLDER as VERDICTS_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from reconcile.inputs.backlog import Backlog
    from reconcile.pipeline.context import RunContext
    from reconcile.reconciliation.record_sources import RecordSource


@dataclass(frozen=True)
class RunInputs:
    """The inputs of a run: its tables, the images to count, and the records to read."""

    scratch: Path
    """A folder for this run alone."""
    listing: InputListing
    verdicts: list[str]
    """Paths of the Parquet parts of the verdicts."""
    reconciler: Reconciler
    images: Backlog
    """Images to count. The backlog may still be filling."""
    records: Backlog
    """JSON records to read. It stays empty if the records come from a table."""


@contextmanager
def list_inputs(context: RunContext, scratch: Path) -> Iterator[RunInputs]:
    """Open the tables of a run and start to list its photos and records.

    Args:
        context: what the run needs.
        scratch: a folder for this run alone.

    Yields:
        the inputs. There is at least one photo, and one record if JSON records are read while photos are counted. The
        tables are closed at the end.

    Raises:
        UsageError: a file that the settings name cannot be used.
        ReconcileError: there are no photos or no records, or a file of `<out>` or of the settings cannot be read.
    """
    context.engine.resume(context.bucket, context.output)
    parts = _stored_parts(context, scratch)
    source, costs = _record_source(context, scratch), _unit_costs(context, scratch)
    labels = context.engine.model.card.labels
    with Reconciler(scratch, labels, source, parts, costs) as reconciler:
        listing = InputListing(context.settings, context.bucket, scratch, context.log.warn)
        if listing.keys is not None:
            context.log.info(listing.keys.describe(), stage="list")
        images, records = reconciler.backlog("images_to_count"), reconciler.backlog("records_to_read")
        inputs = RunInputs(scratch, listing, list(parts.verdicts), reconciler, images, records)
        new_images = reconciler.new_images(listing.photos(), context.settings.limit)
        images.fill(log_listing(new_images, "photos", context.log))
        if reads_while_counting(context):
            list_records(context, inputs)
        # Counting may take hours. It starts only if there are photos, and records to compare them with.
        listing.need_photos(images)
        if reads_while_counting(context):
            listing.need_records(records)
        yield inputs


def list_records(context: RunContext, inputs: RunInputs) -> None:
    """Start to list the JSON records. With `--limit`, only those of bins with a listed image.

    Args:
        context: what the run needs.
        inputs: the inputs of the run, whose backlog of records is filled.
    """
    only_of_images = context.settings.limit is not None
    new_records = inputs.reconciler.new_records(inputs.listing.records(), only_of_images=only_of_images)
    inputs.records.fill(log_listing(new_records, "records", context.log))


def reads_while_counting(context: RunContext) -> bool:
    """Return whether JSON records are read while photos are counted. With `--limit`, they are read afterwards."""
    return context.settings.records is None and context.settings.limit is None


def _stored_parts(context: RunContext, scratch: Path) -> StoredParts:
    """Return the paths of the Parquet parts that `<out>` has now. Parts on S3 are downloaded."""
    output = context.output
    return StoredParts(
        counts=output.local_parts(context.counts_folder, scratch),
        records=output.local_parts("records", scratch),
        verdicts=output.local_parts(VERDICTS_FOLDER, scratch),
    )


def _record_source(context: RunContext, scratch: Path) -> RecordSource:
    """Return the source of the records. A table is downloaded first."""
    settings = context.settings
    if settings.records is None:
        return JsonRecords()
    path = download_file("--records", split_sheet(settings.records)[0], settings.s3_access(), scratch)
    return TableRecords(
        path,
        settings.records,
        settings.columns_of_table,
        only_of_images=settings.limit is not None,
        aggregate=settings.records_aggregate,
        decimal=settings.records_decimal,
        notify=lambda note: context.log.info(note, stage="records"),
    )


def _unit_costs(context: RunContext, scratch: Path) -> pa.Table | None:
    """Return the unit costs that the settings name, or None."""
    settings = context.settings
    if settings.costs is None:
        return None
    path = download_file("--costs", split_sheet(settings.costs)[0], settings.s3_access(), scratch)
    return read_costs(path, settings.costs, context.log.warn)
