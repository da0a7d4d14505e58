"""Command `report`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from reconcile.cli import options
from reconcile.errors import ReconcileError, UsageError


@options.takes("bucket", *options.S3, "no_sign_request", "out")
def report(
    run_id: Annotated[
        str, typer.Argument(metavar="RUN", help="Id of the run, or the path of its folder or of a file in that folder.")
    ],
    photos: Annotated[bool, typer.Option(help="Fetch the photos of the recount queue.")] = True,
    **flags: Any,
) -> None:
    """Render the report of a finished run again, from the files of that run.

    Photos come from the bucket of the run unless --bucket names another. A photo that changed after the run is left
    out.
    """
    from reconcile.config import load_settings
    from reconcile.output.run_ids import out_and_run_id

    out_in_path, run_id = out_and_run_id(run_id)
    if "/" in run_id:
        raise UsageError(f"{run_id} is neither a run id nor a path such as OUT/runs/ID")
    if flags["out"] and out_in_path:
        raise UsageError(f"RUN is a path in {out_in_path}; omit --out, or give the run id alone")
    access = {name: value for name, value in flags.items() if value is not None and name != "out"}
    of_output = {name: flags[name] for name in options.S3} | {"out": flags["out"] or out_in_path}
    settings = load_settings(of_output, need_bucket=False)
    from reconcile.locations import output_folder
    from reconcile.pipeline.rerender import render_again

    folder = output_folder(settings)
    if folder is not None and not folder.is_dir():
        raise ReconcileError(f"there is no such folder: {folder}; set --out, or give the path of the run")
    print(render_again(settings, run_id, access, photos=photos))
