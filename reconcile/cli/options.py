"""The flags that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from reconcile.output.store import Output


def option(help_text: str, panel: str, **more: Any) -> Any:
    """A flag in one of the panels below."""
    # Defaults are not typer's: a flag that is not given may still come from the environment or reconcile.toml.
    return typer.Option(help=help_text, rich_help_panel=panel, show_default=False, **more)


WHERE, HOW, WHEN = "What to count", "How to count", "What to make of it"
ELSEWHERE = "On other machines"
"""The panels of `reconcile run --help`."""


Bucket = Annotated[
    str | None, option("A bucket's name, s3://name/prefix, or a folder (with a slash: ./photos).", WHERE)
]
ImagesPrefix = Annotated[str | None, option("Where the photos lie in it (default: bin-images/).", WHERE)]
RecordsPrefix = Annotated[str | None, option("Where the JSON records lie in it (default: metadata/).", WHERE)]
Keys = Annotated[
    str | None,
    option("Not listed, but told by an S3 Inventory's manifest.json, or a CSV or Parquet of key,etag.", WHERE),
]
Records = Annotated[
    str | None,
    option("A table instead of JSON records: .csv, .parquet or .jsonl, local or s3://.", WHERE),
]
RecordsColumns = Annotated[
    str | None,
    option("What that table calls its columns: bin_id=LOCATION,expected_quantity=QTY,changed_at=TIME.", WHERE),
]
Limit = Annotated[int | None, option("Only the first N photos in listing order, and their records.", WHERE)]
EndpointUrl = Annotated[str | None, option("Another S3 server than Amazon's.", WHERE)]
Region = Annotated[str | None, option("AWS region.", WHERE)]
Profile = Annotated[str | None, option("Profile of the AWS configuration.", WHERE)]
NoSignRequest = Annotated[
    bool | None,
    typer.Option(
        "--no-sign-request",
        help="Read a public bucket without credentials.",
        rich_help_panel=WHERE,
        show_default=False,
    ),
]
Model = Annotated[Path | None, option("An ONNX file made by `reconcile export` (default: the shipped one).", HOW)]
Device = Annotated[str | None, option("auto, cpu, cuda or tensorrt (default: auto).", HOW)]
BatchSize = Annotated[int | None, option("Photos the model is given at a time (default: 32; on a GPU 128).", HOW)]
Engine = Annotated[str | None, option("Who counts: local (this machine, the default), ray or sagemaker.", ELSEWHERE)]
RayAddress = Annotated[
    str | None,
    option("HOST:6379 of a Ray cluster (default: RAY_ADDRESS, else a Ray of this machine alone).", ELSEWHERE),
]
RayGpusPerActor = Annotated[
    float | None,
    option("Share of a GPU, at most 1, that each counting actor takes (default: 1; 0.5 puts two on one).", ELSEWHERE),
]
Out = Annotated[
    str | None,
    option("Where counts, records and runs are kept: a folder or s3://name/prefix (default: reconcile-out).", WHEN),
]
RunId = Annotated[str | None, option("Name of the run's folder (default: the time).", WHEN)]
MaxUnreadable = Annotated[
    str | None, option("End with code 3 if a larger share of the photos is unreadable (default: 5%).", WHEN)
]
MaxInvalid = Annotated[
    str | None, option("End with code 3 if a larger share of the records is invalid (default: 5%).", WHEN)
]
Alarm = Annotated[
    str | None, option("End with code 4 if so many of the compared bins are short or over, such as 2% (0.02).", WHEN)
]
RecordErrorRate = Annotated[
    str | None,
    option("Share of all records assumed to be wrong, until recounts tell (default: 3%).", WHEN),
]
Capacity = Annotated[int | None, option("How many bins tonight's people can recount (default: 100).", WHEN)]
RankBy = Annotated[
    str | None,
    option("Recount first what is most likely wrong (probability), or off by most units or value.", WHEN),
]
Costs = Annotated[str | None, option("CSV of asin,unit_cost, local or s3://, for --rank-by value.", WHEN)]
Tolerance = Annotated[
    int | None, option("Records off by so many items still count as right in the accuracy (default: 0).", WHEN)
]
Where = Annotated[
    str | None,
    option("Parts of a bin id (else of its key) to sum up by: '(?P<aisle>A\\d+)-(?P<pod>\\d+)'.", WHEN),
]
StaleAfter = Annotated[
    float | None,
    option("Leave out records that changed more than so many minutes after the photo (status stale).", WHEN),
]
ImageUri = Annotated[str | None, option("SageMaker: the container image, in ECR.", ELSEWHERE)]
Role = Annotated[str | None, option("SageMaker: ARN of the role that the job takes on.", ELSEWHERE)]
InstanceType = Annotated[str | None, option("SageMaker: such as ml.c5.2xlarge, or ml.g4dn.xlarge.", ELSEWHERE)]
InstanceCount = Annotated[int | None, option("SageMaker: how many instances (default: 1).", ELSEWHERE)]
SagemakerOptions = Annotated[
    Path | None,
    option("SageMaker: JSON that is merged into its requests: tags, keys, VPC (docs/how-to/sagemaker.md).", ELSEWHERE),
]
LogFormat = Annotated[str | None, option("text or json, on standard error (default: text).", WHEN)]

OF_AN_ENGINE = {
    "sagemaker": ("image_uri", "role", "instance_type", "instance_count", "sagemaker_options"),
    "ray": ("ray_address", "ray_gpus_per_actor"),
}
"""Flags that do nothing with another engine."""


def output(out: str | None, endpoint_url: str | None, region: str | None, profile: str | None) -> Output:
    """<out>, as `reconcile run` would find it."""
    from reconcile.config import load_settings

    flags = {"out": out, "endpoint_url": endpoint_url, "region": region, "profile": profile}
    settings = load_settings(flags, need_bucket=False)
    from reconcile.locations import open_output

    return open_output(settings)
