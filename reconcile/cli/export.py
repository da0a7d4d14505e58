"""Command `export`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 # typer reads annotations
from typing import Annotated

import typer

from reconcile.cli.exits import report_failure
from reconcile.cli.train import Validation, require_training_extra
from reconcile.inference.precision import Precision
from reconcile.logs import RunLog


def export(
    checkpoint: Annotated[
        Path, typer.Option(help="Checkpoint to export, such as training/best.pt.", exists=True, dir_okay=False)
    ],
    data: Annotated[
        Path, typer.Option(help="Folder of photos that the model was trained on.", exists=True, file_okay=False)
    ],
    destination: Annotated[Path, typer.Option("--to", help="ONNX file to write.")],
    validation: Validation,
    precision: Annotated[
        Precision, typer.Option(help="int8 for CPUs, fp16 for GPUs, fp32 for comparison.")
    ] = Precision.INT8,
    input_size: Annotated[
        int | None,
        typer.Option(help="Width and height of the input in pixels. Smaller is faster (default: as trained).", min=32),
    ] = None,
) -> None:
    """Calibrate a trained checkpoint and write it as an ONNX file. Needs the extra `train`.

    Count with the file: `reconcile run --model FILE`
    """
    require_training_extra()
    from reconcile.training.export import ExportSource, export

    log = RunLog("text")
    with report_failure(log):
        export(ExportSource(checkpoint, data, validation), {precision: destination}, log.info, size=input_size)
