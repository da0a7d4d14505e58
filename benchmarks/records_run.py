"""python -m benchmarks.records_run FOLDER json|table: time `reconcile run` over synthetic bins.

This calls the code of the command, from the first page of the listing to the last file. The bucket is a listing
without photos, made by `records_data.make_run_data`. Everything is counted already, as in a run with no new photo. The
module prints the seconds.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from reconcile.concurrency.process import tune_for_batch, use_system_allocator


def main(folder: Path, form: str) -> None:
    """Run once.

    Args:
        folder: data of `records_data.make_run_data`.
        form: form of the records: `json` for parsed JSON records, `table` for a file as `--records` accepts it.
    """
    use_system_allocator()  # before Arrow is loaded, like the command
    from benchmarks.records_data import Listing
    from reconcile.config import load_settings
    from reconcile.logs import RunLog
    from reconcile.pipeline.context import open_run
    from reconcile.pipeline.run import run

    flags = {"bucket": f"{folder}/", "out": str(folder / "out"), "device": "cpu", "max_unreadable": "100%"}
    if form == "table":
        flags["records"] = str(folder / "records.csv")
    tune_for_batch()
    settings = load_settings(flags, flags_only=True)
    context = replace(open_run(settings, form, RunLog("text")), bucket=Listing(folder))
    started = time.perf_counter()
    run(context)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
