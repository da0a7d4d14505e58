"""How a night shares cores and memory with itself and with others, by what the kernel, Python and Arrow say."""

import os
import subprocess
import sys

import pytest

from tests.conftest import write_bucket

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="only Linux has this policy")

TELLING = """
import atexit, gc, os, sys
usual = gc.get_threshold()[0]
atexit.register(lambda: print("garbage", gc.get_threshold()[0] > 10 * usual))
atexit.register(lambda: print("heap", sys.modules["pyarrow"].default_memory_pool().backend_name))
atexit.register(lambda: print("policy", os.sched_getscheduler(0)))
if sys.argv.pop(1) == "idle":
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
from reconcile.cli import main
main()
"""


@pytest.mark.parametrize(("before", "policy"), [("usual", "SCHED_BATCH"), ("idle", "SCHED_IDLE")])
def test_a_night_is_a_batch_job_unless_it_was_made_something_else(grey_model, tmp_path, before, policy):
    bucket = write_bucket(tmp_path / "w", {"1": (1, 1)})
    arguments = ["run", "--bucket", bucket, "--model", grey_model, "--out", tmp_path / "out", "--device", "cpu"]
    run = subprocess.run([sys.executable, "-c", TELLING, before, *map(str, arguments)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith(f"policy {getattr(os, policy)}\nheap system\ngarbage True\n")
