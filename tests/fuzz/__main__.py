"""Fuzz until FUZZ_SECONDS have passed or an input fails: `make fuzz FUZZ_SECONDS=3600`."""

import os
import subprocess
import sys
import time

DEFAULT_SECONDS = "600"
COMMAND = (sys.executable, "-m", "pytest", "-q", "tests/fuzz")


def main() -> int:
    """Run the fuzz tests again and again, with new inputs each time. Return the exit code of the last run."""
    environment = {"FUZZ_SECONDS": DEFAULT_SECONDS} | os.environ
    end = time.monotonic() + float(environment["FUZZ_SECONDS"])
    while True:
        code = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "tests/fuzz"], env=environment, check=False
        ).returncode
        if code or time.monotonic() > end:
            return code


if __name__ == "__main__":
    sys.exit(main())
