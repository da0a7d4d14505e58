"""Run a training that sends SIGTERM after its Nth last.pt, and waits until the signal is handled.

So the signal always comes at the same step: python -m tests.integration.training.interrupted N self|parent train …
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run_interrupted(number, arguments, cwd, launcher=(sys.executable,), **variables):
    """Run the command. After its `number`th last.pt, it sends SIGTERM to itself, or to its launcher if there is one."""
    target = "self" if launcher == (sys.executable,) else "parent"
    return subprocess.run(
        [*launcher, "-m", __name__, str(number), target, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
    )


def main():
    from reconcile import cli
    from reconcile.concurrency import cancellation
    from reconcile.training import checkpoint

    remaining, target = int(sys.argv.pop(1)), sys.argv.pop(1)
    save = checkpoint.save

    def save_and_interrupt(*arguments):
        nonlocal remaining
        save(*arguments)
        remaining -= arguments[-1].name == "last.pt"
        if remaining == 0 and not cancellation.is_requested():
            os.kill(os.getpid() if target == "self" else os.getppid(), signal.SIGTERM)
            while not cancellation.is_requested():
                time.sleep(0.01)

    checkpoint.save = save_and_interrupt
    cli.main()


if __name__ == "__main__":
    main()
