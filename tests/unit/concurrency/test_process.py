"""Process-wide tuning of a run, as reported by the kernel, Python and Arrow."""

import os
import subprocess
import sys

import pytest

from tests.conftest import write_bucket

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="only Linux has this policy")

REPORTING_SCRIPT = """
import atexit, gc, os, sys
default = gc.get_threshold()[0]
atexit.register(lambda: print("garbage", gc.get_threshold()[0] > 10 * default))
atexit.register(lambda: print("heap", sys.modules["pyarrow"].default_memory_pool().backend_name))
atexit.register(lambda: print("policy", os.sched_getscheduler(0)))
if sys.argv.pop(1) == "idle":
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
from reconcile.cli import main
main()
"""


@pytest.mark.parametrize(("before", "policy"), [("default", "SCHED_BATCH"), ("idle", "SCHED_IDLE")])
def test_run_is_a_batch_job_unless_its_class_was_changed(grey_model, tmp_path, before, policy):
    bucket = write_bucket(tmp_path / "w", {"1": (1, 1)})
    arguments = ["run", "--bucket", bucket, "--model", grey_model, "--out", tmp_path / "out", "--device", "cpu"]
    completed = subprocess.run(
        [sys.executable, "-c", REPORTING_SCRIPT, before, *map(str, arguments)], capture_output=True, text=True
    )
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.endswith(f"policy {getattr(os, policy)}\nheap system\ngarbage True\n")
