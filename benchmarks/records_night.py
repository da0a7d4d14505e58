"""python -m benchmarks.records_night FOLDER json|table: `reconcile run` over the bins of `records_data.make_night`.

It is the command's own code from the first page of the listing to the last file, only that the bucket is a listing
without photos. Everything is counted already, as in a night in which no photo is new. Prints the seconds that took.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from reconcile.concurrency.process import tune_for_batch, use_system_allocator


def main(folder: Path, form: str) -> None:
    """Run it once.

    Args:
        folder: the night.
        form: of the records: what was read from JSON, or a table as `--records` takes it.
    """
    use_system_allocator()  # before Arrow is loaded, as the command does
    from benchmarks.records_data import Listing
    from reconcile.config import load_settings
    from reconcile.logs import RunLog
    from reconcile.pipeline.context import open_run
    from reconcile.pipeline.run import run_over

    flags = {"bucket": f"{folder}/", "out": str(folder / "out"), "device": "cpu", "max_unreadable": "100%"}
    if form == "table":
        flags["records"] = str(folder / "records.csv")
    tune_for_batch()
    settings = load_settings(flags, alone=True)
    messages = RunLog("text")
    places = open_run(settings, messages)._replace(bucket=Listing(folder))
    started = time.perf_counter()
    run_over(places, settings, form, messages)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
