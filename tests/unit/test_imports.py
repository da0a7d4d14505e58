"""The command line starts fast because it imports no heavy library."""

import subprocess
import sys

HEAVY = ["numpy", "pydantic", "pyarrow", "duckdb", "pandas", "onnxruntime", "boto3", "torch"]


def test_command_line_imports_no_heavy_library():
    code = f"import sys, reconcile.cli.commands; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
