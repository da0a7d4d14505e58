"""A training that is asked to stop when a certain checkpoint has been written, and goes on once it has heard of it.

So the signal always comes at the same moment: python -m tests.integration.training.interrupted N self|parent train …
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run_stopped(number, arguments, cwd, launcher=(sys.executable,), **variables):
    """Run the command; its `number`th last.pt makes it stop, or the launcher, which passes that on."""
    whom = "self" if launcher == (sys.executable,) else "parent"
    return subprocess.run(
        [*launcher, "-m", __name__, str(number), whom, *map(str, arguments)],
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

    left, whom = int(sys.argv.pop(1)), sys.argv.pop(1)
    save = checkpoint.save

    def save_and_stop(*arguments):
        nonlocal left
        save(*arguments)
        left -= arguments[-1].name == "last.pt"
        if left == 0 and not cancellation.is_requested():
            os.kill(os.getpid() if whom == "self" else os.getppid(), signal.SIGTERM)
            while not cancellation.is_requested():
                time.sleep(0.01)

    checkpoint.save = save_and_stop
    cli.main()


if __name__ == "__main__":
    main()
