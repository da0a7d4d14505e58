"""`--engine ray` on a real cluster of two nodes, each with a raylet and processes of its own on this machine."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pandas as pd
import pytest

from reconcile.config import load_settings
from reconcile.doctor.environment import run_checks
from reconcile.engines.local import LocalEngine
from reconcile.engines.ray import actors, scheduler
from reconcile.engines.ray import cluster as ray_cluster
from reconcile.engines.ray import engine as ray_engine
from reconcile.engines.ray.engine import RayEngine
from reconcile.errors import ReconcileError, UsageError
from reconcile.inference.counter import load_predictor
from reconcile.inputs.backlog import Backlog
from reconcile.output.store import Output
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from reconcile.streaming.observers import CallbackObserver
from tests.conftest import (
    ACCESS_KEY,
    SCRIPTS,
    SECRET_KEY,
    SHARED,
    grey_photo,
    needs_abid,
    reconcile,
    write_bucket,
)

PHOTOS = 120
BATCH = 4
BINS = 400
# So that a lost node is found lost in a second or two.
HEALTH = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 500, "health_check_failure_threshold": 4}


@pytest.fixture(scope="module")
def cluster():
    """A head with one core and a second node with one."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # A node's processes have the environment that it was started in.
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
        patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name, value in ray_cluster.ENVIRONMENT.items():
            patch.setenv(name, value)
        memory = 150 * 2**20
        node = {"num_cpus": 1, "object_store_memory": memory, "include_dashboard": False}
        started = Cluster(initialize_head=True, head_node_args=node | {"_system_config": HEALTH})
        second = started.add_node(num_cpus=1, object_store_memory=memory)
        yield SimpleNamespace(address=started.address, cluster=started, second=second)
        started.shutdown()


@pytest.fixture
def settings(cluster):
    """Those of a run on the cluster."""

    def settings(**more):
        values = {"bucket": "unused", "engine": "ray", "ray_address": cluster.address, "batch_size": BATCH}
        return load_settings(values | more, exclusive=True)

    return settings


def photos(folder, number):
    """The first photos of a folder as its listing has them."""
    return [stored for page in open_bucket(str(folder), S3Access()).list_pages("bin-images/") for stored in page][
        :number
    ]


def counted(out):
    """Every row of every part."""
    return pd.concat([pd.read_parquet(path) for path in sorted((out / "counts").rglob("*.parquet"))])


def count(engine, folder, images, out, progress=lambda _: None):
    """Have an engine count `images`; the rows that it left, by key."""
    with duckdb.connect() as database:
        backlog = Backlog(database, "images")
        backlog.fill([images])
        output = Output(open_bucket(str(out), S3Access(), create=True))
        observer = CallbackObserver(progress, lambda *_: None)
        work = engine.count(backlog, open_bucket(str(folder), S3Access()), output, observer)
        backlog.close()
    rows = counted(out)
    assert work.objects == len(rows)
    return rows.drop(columns="counted_at").sort_values("image_key", ignore_index=True)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Photos of the night, some of them gone, changed or spoilt, and what this machine alone makes of them.

    That is, the folder, what its listing had, and the rows.
    """
    folder = tmp_path_factory.mktemp("night")
    (folder / "bin-images").mkdir()
    paths = sorted((SHARED / "night" / "bin-images").iterdir())[:PHOTOS]
    for path in paths:
        (folder / "bin-images" / path.name).write_bytes(path.read_bytes())
    spoilt = [folder / "bin-images" / path.name for path in paths[::30]]
    spoilt[0].write_bytes(b"<html>")
    spoilt[1].write_bytes(b"")
    images = photos(folder, PHOTOS)
    spoilt[2].unlink()
    spoilt[3].write_bytes(grey_photo(1, (50, 50)))
    rows = count(LocalEngine(load_predictor(None, "cpu", print, BATCH)), folder, images, folder / "out")
    assert rows["reason"].notna().sum() == 4
    return folder, images, rows


def test_doctor_looks_at_the_cluster(settings, cluster, tmp_path):
    import ray

    def finding(**changes):
        found = {one.subject: one for one in run_checks(settings(bucket=f"{tmp_path}/", out=str(tmp_path), **changes))}
        assert "model" not in found  # of this machine
        return found["ray"].verdict, found["ray"].text

    verdict, text = finding()
    assert verdict == "ok", text
    assert text.startswith("Ray, 2 machines with 2 cores, would count on CPU with model ")
    assert text.endswith("--device cpu is this choice without the warning")
    assert not ray.is_initialized()
    assert finding(ray_address="127.0.0.1:1") == (
        "FAIL", "no Ray cluster at 127.0.0.1:1: [Errno 111] Connection refused"
    )  # fmt: skip


def test_without_ray_there_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ReconcileError, match=r"needs Ray: in a checkout, pip install '\.\[ray\]'"):
        ray_cluster.Cluster(None)


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "auto", "127.0.0.1", "127.0.0.1:head"])
def test_an_address_that_cannot_work_is_refused(address):
    with pytest.raises(UsageError, match=f"--ray-address {address}: expected the head's HOST:6379"):
        ray_cluster.Cluster(address)


def test_a_cluster_that_is_not_there():
    with pytest.raises(ReconcileError, match=r"^no Ray cluster at 127.0.0.1:1: "):
        ray_cluster.Cluster("127.0.0.1:1")


@pytest.mark.parametrize("place", ["short", "much-too-long-for-the-path-of-a-socket"])
def test_a_ray_of_its_own_leaves_nothing_behind(monkeypatch, place):
    """Whether it ended or was killed; and the paths of its sockets have room."""
    seen = []
    with tempfile.TemporaryDirectory(prefix="r") as folder:  # tmp_path is too long for Ray
        parent = Path(folder, place)
        parent.mkdir()
        (parent / "reconcile-ray-killed" / "session_1").mkdir(parents=True)
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        monkeypatch.setenv("RAY_TMPDIR", str(parent))
        monkeypatch.setattr(ray_cluster, "_LONGEST_PARENT", len(str(Path(folder, "short"))))
        monkeypatch.setattr("ray.init", lambda **how: seen.append(Path(how["_temp_dir"])))
        monkeypatch.setattr(ray_cluster.Cluster, "check_machines", lambda _: None)
        cluster = ray_cluster.Cluster(None)
        [used] = seen
        assert used.is_dir()
        assert used.parent == (parent if place == "short" else Path("/tmp"))
        assert (parent / "reconcile-ray-killed").exists() == (place != "short")
        (used / "session_2").mkdir()
        cluster.close()
        assert not used.exists()


def test_machines_with_another_version_are_named(cluster, monkeypatch):
    monkeypatch.setattr(ray_cluster, "__version__", "99.0")
    with pytest.raises(ReconcileError, match=r"Ray's machine \S+ has reconcile [\d.]+; it needs reconcile 99\.0"):
        ray_cluster.Cluster(cluster.address)


@pytest.mark.parametrize("late", ["task", "actor"])
def test_a_machine_that_joins_late_with_another_version_is_named(settings, grey_model, tmp_path, monkeypatch, late):
    folder = write_bucket(tmp_path / "w", {"00": (3, None)})
    engine = RayEngine(settings(model=grey_model, device="cpu"), print)
    if late == "task":
        monkeypatch.setattr(ray_engine, "__version__", "99.0")
    else:
        recipe = engine._recipe()
        wrong = dataclasses.replace(recipe, load=("99.0", *recipe.load[1:]))
        monkeypatch.setattr(engine, "_recipe", lambda: wrong)
    with pytest.raises(
        ReconcileError, match=r"^Ray's machine [\d.]+ has reconcile [\d.]+; it needs reconcile 99\.0, as here$"
    ):
        count(engine, folder, photos(folder, 1), tmp_path / "out")


def test_a_machine_that_joins_late_with_no_reconcile_is_named(settings, grey_model, tmp_path, monkeypatch):
    folder = write_bucket(tmp_path / "w", {"00": (3, None)})
    engine = RayEngine(settings(model=grey_model, device="cpu"), print)

    def prepare(source, block):
        raise ModuleNotFoundError("No module named 'reconcile'")

    def check_machines(self):
        raise ReconcileError("Ray's machine 10.0.0.7 cannot import reconcile")

    monkeypatch.setattr(scheduler, "prepare", prepare)
    with monkeypatch.context() as patch:
        patch.setattr(ray_cluster.Cluster, "check_machines", check_machines)
        with pytest.raises(ReconcileError, match=r"^Ray's machine 10.0.0.7 cannot import reconcile$"):
            count(engine, folder, photos(folder, 1), tmp_path / "out")


def test_a_ray_of_its_own_waits_for_no_gpu(grey_model, monkeypatch):
    closed = []
    own = SimpleNamespace(gpus=0.0, is_own=True, close=lambda: closed.append(True))
    monkeypatch.setattr(ray_engine, "Cluster", lambda _: own)
    settings = load_settings({"bucket": "b", "model": grey_model, "device": "cuda"}, exclusive=True)
    with pytest.raises(ReconcileError, match=r"^--device cuda: this machine has no GPU that Ray sees"):
        RayEngine(settings, print)
    assert closed


@pytest.mark.parametrize(("device", "is_own", "warned"), [("auto", False, 1), ("auto", True, 0), ("cpu", False, 0)])
def test_auto_says_that_cpus_count_where_a_cluster_has_no_gpu(grey_model, monkeypatch, device, is_own, warned):
    monkeypatch.setattr(ray_engine, "Cluster", lambda _: SimpleNamespace(gpus=0.0, is_own=is_own))
    told = []
    engine = RayEngine(
        load_settings({"bucket": "b", "model": grey_model, "device": device}, exclusive=True), told.append
    )
    assert engine.device == "CPU"
    assert len(told) == warned
    assert all("no GPU yet, so its CPUs count" in line and "--device cuda waits for GPUs" in line for line in told)


@needs_abid
def test_the_same_rows_as_without_ray(settings, night, tmp_path):
    folder, images, alone = night
    rows = count(RayEngine(settings(), print), folder, images, tmp_path / "out")
    pd.testing.assert_frame_equal(rows, alone, check_exact=True)


def test_an_image_that_kills_who_reads_it_is_one_row(settings, grey_model, tmp_path, monkeypatch):
    folder = write_bucket(tmp_path / "w", {f"{n:02d}": (n % 7, None) for n in range(12)})
    prepare = scheduler.prepare

    def deadly(source, block):
        if any(stored.key.endswith("07.jpg") for stored in block):
            os._exit(1)
        return prepare(source, block)

    monkeypatch.setattr(scheduler, "prepare", deadly)
    monkeypatch.setattr(scheduler, "_RETRIES", 0)
    rows = count(RayEngine(settings(model=grey_model), print), folder, photos(folder, 12), tmp_path / "ray")
    [lost] = rows[rows["reason"].notna()].itertuples()
    assert (lost.image_key, lost.try_again) == ("bin-images/07.jpg", True)
    assert "was lost" in lost.reason
    counted = rows[rows["reason"].isna()]
    assert list(counted["predicted_count"]) == [n % 7 for n in range(12) if n != 7]


def test_a_run_from_s3_that_is_stopped_and_goes_on(cluster, s3, grey_model, tmp_path):
    write_bucket(s3.root / "warehouse", {f"{n:05d}": (n % 7, 3) for n in range(BINS)})
    (s3.root / "warehouse" / "bin-images" / "00003.jpg").write_bytes(b"<html>")
    arguments = ["run", "--bucket", "warehouse", "--endpoint-url", s3.endpoint_url, "--model", grey_model]
    arguments += ["--engine", "ray", "--ray-address", cluster.address, "--device", "cpu"]
    arguments += ["--log-format", "json", "--out", "out"]
    command = [str(word) for word in [SCRIPTS / "reconcile", *arguments]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        said = ""
        for line in process.stderr:
            said += line
            if "00003.jpg" in line:  # the block that it is in has come back
                process.send_signal(signal.SIGTERM)
        printed = process.stdout.read()
    assert (process.returncode, printed) == (130, ""), said
    told = [json.loads(line) for line in said.splitlines()]  # a word of Ray's would be no JSON
    assert "CPU, Ray, 2 machines with 2 cores" in told[0]["message"]
    assert [line["key"] for line in told if "key" in line] == ["bin-images/00003.jpg"]
    kept = counted(tmp_path / "out")
    assert kept["image_key"].is_unique
    assert f"stopped with {len(kept):,} of " in said

    done = reconcile(*arguments)
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    assert (numbers["counted"], numbers["already_counted"]) == (BINS - len(kept), len(kept))
    rows = counted(tmp_path / "out")
    assert len(rows) == BINS
    assert rows["image_key"].is_unique


@needs_abid
def test_a_node_that_is_killed_halfway_takes_nothing_along(cluster, settings, night, tmp_path, monkeypatch):
    folder, images, alone = night
    ready, buried, done = [], set(), 0

    class Watched(actors.ActorPool):
        def loaded(self, loading):
            super().loaded(loading)
            ready.append(len(self._ready))

        def least_busy(self, node, alone):
            # Or the first to be ready might count everything before the second is.
            return super().least_busy(node, alone) if 2 in ready else None

        def remove(self, actor):
            buried.add(actor.node)
            super().remove(actor)

    monkeypatch.setattr(actors, "ActorPool", Watched)

    def progress(number):
        nonlocal done
        done += number
        if done >= PHOTOS / 4 and cluster.second is not None:
            second, cluster.second = cluster.second, None
            cluster.cluster.remove_node(second, allow_graceful=False)

    node = cluster.second.node_id
    rows = count(RayEngine(settings(), print), folder, images, tmp_path / "out", progress)
    assert cluster.second is None, "the node was not killed while anything was counted"
    assert buried == {node}, "it had nothing to lose"
    pd.testing.assert_frame_equal(rows, alone, check_exact=True)
