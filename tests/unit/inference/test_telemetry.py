"""Nobody is told what is counted: onnxruntime and OpenVINO report to their makers unless they are kept from it."""

import os
import subprocess
import sys

import pytest

from tests.conftest import needs_openvino

TESTED = (
    "CI",
    "TF_BUILD",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "JENKINS_URL",
    "BUILDKITE",
    "TRAVIS",
    "CIRCLECI",
    "TEAMCITY_VERSION",
    "CODEBUILD_BUILD_ID",
)
"""By which onnxruntime tells."""
LOAD = """
import sys
from pathlib import Path
from reconcile.inference import openvino_cpu
from reconcile.inference.counter import load_predictor
openvino_cpu.is_available = lambda: sys.argv[2] == "OpenVINO"
print(load_predictor(Path(sys.argv[1]), "cpu", print).provider)
print([name for name in sys.modules if "telemetry" in name])
"""


@pytest.mark.parametrize("library", ["CPUExecutionProvider", pytest.param("OpenVINO", marks=needs_openvino)])
def test_a_model_is_loaded_without_a_trace_at_home(grey_model, tmp_path, library):
    """Both keep an id at home before they report; onnxruntime does not where it sees that it is being tested."""
    ours = {name: value for name, value in os.environ.items() if name not in (*TESTED, "ORT_DISABLE_TELEMETRY")}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(grey_model), library],
        env={**ours, "HOME": str(tmp_path), "XDG_CACHE_HOME": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{library}\n[]\n", "")
    assert list(tmp_path.iterdir()) == []
