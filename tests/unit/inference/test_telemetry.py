"""No library reports usage: ONNX Runtime and OpenVINO do unless they are prevented."""

import os
import subprocess
import sys

import pytest

from tests.conftest import needs_openvino

CI_VARIABLES = (
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
"""Variables by which ONNX Runtime recognises a test environment."""
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
def test_loading_a_model_writes_nothing_to_the_home_folder(grey_model, tmp_path, library):
    """Both write an id to the home folder before they report. ONNX Runtime does not do so in a test environment."""
    environment = {
        name: value for name, value in os.environ.items() if name not in (*CI_VARIABLES, "ORT_DISABLE_TELEMETRY")
    }
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(grey_model), library],
        env={**environment, "HOME": str(tmp_path), "XDG_CACHE_HOME": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{library}\n[]\n", "")
    assert list(tmp_path.iterdir()) == []
