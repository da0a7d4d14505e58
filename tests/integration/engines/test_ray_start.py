"""How `--engine ray` finds a cluster, or starts Ray on this machine. These tests start no cluster."""

import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from reconcile.config import load_settings
from reconcile.engines.ray import cluster as ray_cluster
from reconcile.engines.ray import engine as ray_engine
from reconcile.engines.ray.engine import RayEngine
from reconcile.errors import ReconcileError, UsageError


def test_missing_ray_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ReconcileError, match=r"needs Ray: in a checkout, pip install '\.\[ray\]'"):
        ray_cluster.Cluster(None)


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "auto", "127.0.0.1", "127.0.0.1:head"])
def test_invalid_address_is_refused(address):
    with pytest.raises(UsageError, match=f"--ray-address {address}: expected HOST:6379 of the head"):
        ray_cluster.Cluster(address)


def test_unreachable_cluster_is_an_error():
    with pytest.raises(ReconcileError, match=r"^no Ray cluster at 127.0.0.1:1: "):
        ray_cluster.Cluster("127.0.0.1:1")


@pytest.mark.parametrize("name", ["short", "much-too-long-for-the-path-of-a-socket"])
def test_local_ray_removes_its_folders(monkeypatch, name):
    """It removes its own folder and those of killed runs, and uses a folder with a short enough path."""
    used_folders = []
    with tempfile.TemporaryDirectory(prefix="r") as folder:  # tmp_path is too long for Ray
        parent = Path(folder, name)
        parent.mkdir()
        (parent / "reconcile-ray-killed" / "session_1").mkdir(parents=True)
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        monkeypatch.setenv("RAY_TMPDIR", str(parent))
        monkeypatch.setattr(ray_cluster, "_MAX_PARENT_LENGTH", len(str(Path(folder, "short"))))
        monkeypatch.setattr("ray.init", lambda **options: used_folders.append(Path(options["_temp_dir"])))
        monkeypatch.setattr(ray_cluster.Cluster, "check_machines", lambda _: None)
        cluster = ray_cluster.Cluster(None)
        [used] = used_folders
        assert used.is_dir()
        assert used.parent == (parent if name == "short" else Path("/tmp"))
        assert (parent / "reconcile-ray-killed").exists() == (name != "short")
        (used / "session_2").mkdir()
        cluster.close()
        assert not used.exists()


def test_local_ray_does_not_wait_for_a_gpu(grey_model, monkeypatch):
    closed = []
    local = SimpleNamespace(gpus=0.0, is_local=True, close=lambda: closed.append(True))
    monkeypatch.setattr(ray_engine, "Cluster", lambda _: local)
    settings = load_settings({"bucket": "b", "model": grey_model, "device": "cuda"}, flags_only=True)
    with pytest.raises(ReconcileError, match=r"^--device cuda: Ray sees no GPU on this machine"):
        RayEngine(settings, print)
    assert closed


@pytest.mark.parametrize(("device", "is_local", "warnings"), [("auto", False, 1), ("auto", True, 0), ("cpu", False, 0)])
def test_auto_device_warns_if_the_cluster_has_no_gpu(grey_model, monkeypatch, device, is_local, warnings):
    monkeypatch.setattr(ray_engine, "Cluster", lambda _: SimpleNamespace(gpus=0.0, is_local=is_local))
    lines = []
    engine = RayEngine(
        load_settings({"bucket": "b", "model": grey_model, "device": device}, flags_only=True), lines.append
    )
    assert engine.device == "CPU"
    assert len(lines) == warnings
    assert all("no GPU yet, so its CPUs count" in line and "--device cuda waits for GPUs" in line for line in lines)
