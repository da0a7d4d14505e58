"""Command-line options, declared once and shared by the commands.

`OPTIONS` is the only place that describes a setting to people. `--help` and the reference pages read it.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from reconcile.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconcile.config import Settings
    from reconcile.output.store import Output

    Command = TypeVar("Command", bound=Callable[..., None])


INPUT, ACCESS, MODEL = "Photos and records", "Access to S3", "Model"
PLATFORMS, RESULTS = "Ray and SageMaker", "Results"
"""The panels of `reconcile run --help`."""
LABELLED_PHOTOS = "Photos with known counts: labels.csv, bin-images/ with metadata/, or one folder per count."
RECIPE = "Training recipe, a TOML file (default: the recipe of the model that comes with reconcile)."
_PERCENT = "<percent>"


def option(help_text: str, panel: str, *flags: str, **more: Any) -> Any:
    """Return an option in one of the panels above.

    typer must not show a default, because the environment or reconcile.toml may set an option that is not given.
    """
    return typer.Option(*flags, help=help_text, rich_help_panel=panel, show_default=False, **more)


def _text(help_text: str, panel: str, **more: Any) -> Any:
    return Annotated[str | None, option(help_text, panel, **more)]


def _whole_number(help_text: str, panel: str) -> Any:
    return Annotated[int | None, option(help_text, panel)]


def _number(help_text: str, panel: str) -> Any:
    return Annotated[float | None, option(help_text, panel)]


def _path(help_text: str, panel: str) -> Any:
    return Annotated[Path | None, option(help_text, panel)]


OPTIONS: dict[str, Any] = {
    "bucket": _text(
        "Bucket with the photos: a name, s3://name/prefix, or a local folder with a slash, such as ./photos.",
        INPUT,
    ),
    "images_prefix": _text("Prefix of the photos in the bucket (default: bin-images/).", INPUT),
    "records_prefix": _text("Prefix of the JSON records in the bucket (default: metadata/).", INPUT),
    "keys": _text(
        "Read the keys from a file and do not list the bucket. The file is manifest.json of an S3 Inventory, or a "
        "table with the columns key and etag.",
        INPUT,
    ),
    "records": _text(
        "Read records from a table instead of JSON files: .csv, .xlsx, .parquet or .jsonl, local or on s3://. "
        "stock.xlsx#Sheet2 names a sheet.",
        INPUT,
    ),
    "records_columns": _text(
        "Names of that table's columns, such as bin_id=LOCATION,expected_quantity=QTY,changed_at=TIME. "
        "product_id, product_name and product_quantity name the columns of a table with a row per product.",
        INPUT,
    ),
    "records_aggregate": _text(
        "If a bin has several rows in that table: sum adds up a row per product, same accepts rows that agree "
        "(default: refuse the table).",
        INPUT,
    ),
    "records_decimal": _text(
        "Decimal mark of that table's quantities: comma or point (default: as the table shows).", INPUT
    ),
    "limit": _whole_number("Use only the first N photos of the listing, and their records (default: all).", INPUT),
    "endpoint_url": _text("Address of another S3 server, such as http://localhost:9000 (default: Amazon S3).", ACCESS),
    "region": _text("AWS region, such as eu-central-1 (default: AWS_REGION, or the AWS configuration).", ACCESS),
    "profile": _text("Profile of the AWS configuration (default: AWS_PROFILE).", ACCESS),
    "no_sign_request": Annotated[
        bool | None, option("Read a public bucket without credentials.", ACCESS, "--no-sign-request")
    ],
    "model": _path("ONNX file made by `reconcile export` (default: the model that comes with reconcile).", MODEL),
    "device": _text("Device that runs the model: auto, cpu, cuda or tensorrt (default: auto).", MODEL),
    "batch_size": _whole_number("Photos per call of the model (default: 32, or 128 on a GPU).", MODEL),
    "engine": _text("Where photos are counted: local (this machine), ray or sagemaker (default: local).", PLATFORMS),
    "image_uri": _text(
        "SageMaker: container image in ECR, such as ACCOUNT.dkr.ecr.REGION.amazonaws.com/reconcile:1.", PLATFORMS
    ),
    "role": _text("SageMaker: ARN of the role that the job assumes.", PLATFORMS),
    "instance_type": _text("SageMaker: instance type, such as ml.c5.2xlarge or ml.g4dn.xlarge.", PLATFORMS),
    "instance_count": _whole_number("SageMaker: number of instances (default: 1).", PLATFORMS),
    "sagemaker_options": _path(
        "SageMaker: JSON file that is merged into the requests: tags, keys, VPC (docs/how-to/sagemaker.md).",
        PLATFORMS,
    ),
    "ray_address": _text(
        "Ray: address of the cluster, such as HOST:6379 (default: RAY_ADDRESS, or a new Ray on this machine).",
        PLATFORMS,
    ),
    "ray_gpus_per_actor": _number(
        "Ray: GPUs per counting actor, at most 1. With 0.5, two actors share a GPU (default: 1).", PLATFORMS
    ),
    "out": _text("Folder for counts, records and runs, local or s3://name/prefix (default: reconcile-out).", RESULTS),
    "run_id": _text("Name of the run and its folder (default: the time in UTC).", RESULTS),
    "max_unreadable": _text(
        "End with exit code 3 if more than this share of the photos is unreadable (default: 5%).",
        RESULTS,
        metavar=_PERCENT,
    ),
    "max_invalid": _text(
        "End with exit code 3 if more than this share of the records is invalid (default: 5%).",
        RESULTS,
        metavar=_PERCENT,
    ),
    "max_blank": _text(
        "End with exit code 3 if more than this share of the photos is blank or identical to another (default: no "
        "limit).",
        RESULTS,
        metavar=_PERCENT,
    ),
    "alarm": _text(
        "End with exit code 4 if at least this share of the compared records is probably wrong (default: no alarm).",
        RESULTS,
        metavar=_PERCENT,
    ),
    "record_error_rate": _text(
        "Share of records assumed to be wrong until verdicts are imported (default: 3%).", RESULTS, metavar=_PERCENT
    ),
    "capacity": _whole_number("Number of bins that people can recount after this run (default: 100).", RESULTS),
    "rank_by": _text(
        "Order of the recount queue: probability, units or value. Units and value put the largest expected errors "
        "first (default: probability).",
        RESULTS,
    ),
    "costs": _text(
        "CSV file or workbook with the columns asin and unit_cost, local or on s3://, for --rank-by value.", RESULTS
    ),
    "recount_format": _text(
        "Format of the recount list: csv (recount.csv), jsonl (recount.jsonl, count tasks for a WMS) or both "
        "(default: csv).",
        RESULTS,
    ),
    "tolerance": _whole_number(
        "For the estimated accuracy: a record that is off by at most N items is correct (default: 0).", RESULTS
    ),
    "where": _text(
        "Sum up errors by aisle, pod or the like: a regular expression with named groups, such as "
        "'(?P<aisle>A\\d+)-(?P<pod>\\d+)'. It must match bin ids or the keys of photos.",
        RESULTS,
    ),
    "stale_after": _number(
        "Do not compare records that changed more than N minutes after the photo. Their status is stale.", RESULTS
    ),
    "log_format": _text("Format of the log on standard error: text or json (default: text).", RESULTS),
}
"""The options of `reconcile run`, one for each field of `config.Settings`, in the order of `--help`."""

S3 = ("endpoint_url", "region", "profile")
OUTPUT = ("out", *S3)
COUNTING = ("model", "device", "batch_size")
INPUTS = (
    "bucket", "images_prefix", "records_prefix", "keys", "records", "records_columns", "records_aggregate",
    "records_decimal",
)  # fmt: skip
_OF_ENGINE = {
    "sagemaker": ("image_uri", "role", "instance_type", "instance_count", "sagemaker_options"),
    "ray": ("ray_address", "ray_gpus_per_actor"),
}
"""Options that have an effect with one engine only."""
ENGINE = ("engine", *_OF_ENGINE["sagemaker"], *_OF_ENGINE["ray"])


def takes(*names: str) -> Callable[[Command], Command]:
    """Give a command options from `OPTIONS`.

    The command must have a parameter `**flags`. This parameter receives every option by name, with None if the user did
    not give the option.

    Args:
        names: keys of `OPTIONS`, in the order of `--help`.
    """

    def add_options(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [entry for entry in signature.parameters.values() if entry.kind is not entry.VAR_KEYWORD]
        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=OPTIONS[name])
            for name in names
        ]
        # typer reads both. It calls the command with keyword arguments.
        command.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
        command.__annotations__ = {entry.name: entry.annotation for entry in (*own, *shared)} | {"return": None}
        return command

    return add_options


def load_run_settings(flags: dict[str, Any], *, need_bucket: bool = True) -> Settings:
    """Return the settings of a run, and refuse options of an engine that was not chosen.

    The environment and reconcile.toml may keep settings of other engines.

    Raises:
        UsageError: there is such an option, or `load_settings` refuses a value.
    """
    from reconcile.config import load_settings

    settings = load_settings(flags, need_bucket=need_bucket)
    for engine, names in _OF_ENGINE.items():
        given = [f"--{name.replace('_', '-')}" for name in names if flags.get(name) is not None]
        if given and settings.engine != engine:
            verb = "need" if len(given) > 1 else "needs"
            raise UsageError(f"{', '.join(given)} {verb} --engine {engine}, but the engine is {settings.engine}")
    return settings


def open_output(flags: dict[str, Any]) -> Output:
    """Open `<out>` as `reconcile run` does, from the options in `OUTPUT`."""
    from reconcile import locations
    from reconcile.config import load_settings

    return locations.open_output(load_settings(flags, need_bucket=False))
