"""Tests of `--engine ray` on a real cluster of two nodes. Both run on this machine, with their own processes."""

import dataclasses
import json
import os
import signal
import subprocess
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
from reconcile.errors import ReconcileError
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
# With these settings Ray notices a lost node within two seconds.
HEALTH = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 500, "health_check_failure_threshold": 4}


@pytest.fixture(scope="module")
def cluster():
    """Return a cluster of a head with one core and a second node with one core."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # The processes of a node inherit this environment.
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
    """Return a function that returns the settings of a run on the cluster, with changes."""

    def settings(**changes):
        values = {"bucket": "unused", "engine": "ray", "ray_address": cluster.address, "batch_size": BATCH}
        return load_settings(values | changes, flags_only=True)

    return settings


def photos(folder, number):
    """Return the first photos of a folder, as listed."""
    return [stored for page in open_bucket(str(folder), S3Access()).list_pages("bin-images/") for stored in page][
        :number
    ]


def read_counts(out):
    """Return the rows of all parts."""
    return pd.concat([pd.read_parquet(path) for path in sorted((out / "counts").rglob("*.parquet"))])


def count(engine, folder, images, out, advance=lambda _: None):
    """Count `images` with an engine. Return the rows, sorted by key."""
    with duckdb.connect() as database:
        backlog = Backlog(database, "images")
        backlog.fill([images])
        output = Output(open_bucket(str(out), S3Access(), create=True))
        observer = CallbackObserver(advance, lambda *_: None)
        result = engine.count(backlog, open_bucket(str(folder), S3Access()), output, observer)
        backlog.close()
    rows = read_counts(out)
    assert result.objects == len(rows)
    return rows.drop(columns="counted_at").sort_values("image_key", ignore_index=True)


@pytest.fixture(scope="module")
def local_run(tmp_path_factory):
    """Return a folder of photos, its listing, and the rows of a local run. Some photos are missing or damaged."""
    folder = tmp_path_factory.mktemp("local")
    (folder / "bin-images").mkdir()
    paths = sorted((SHARED / "night" / "bin-images").iterdir())[:PHOTOS]
    for path in paths:
        (folder / "bin-images" / path.name).write_bytes(path.read_bytes())
    damaged = [folder / "bin-images" / path.name for path in paths[::30]]
    damaged[0].write_bytes(b"<html>")
    damaged[1].write_bytes(b"")
    images = photos(folder, PHOTOS)
    damaged[2].unlink()
    damaged[3].write_bytes(grey_photo(1, (50, 50)))
    rows = count(LocalEngine(load_predictor(None, "cpu", print, BATCH)), folder, images, folder / "out")
    assert rows["reason"].notna().sum() == 4
    return folder, images, rows


def test_doctor_checks_the_cluster(settings, cluster, tmp_path):
    import ray

    def check_ray(**changes):
        checks = run_checks(settings(bucket=f"{tmp_path}/", out=str(tmp_path), **changes))
        by_subject = {check.subject: check for check in checks}
        assert "model" not in by_subject, "doctor must not load a model on this machine"
        return by_subject["ray"].status, by_subject["ray"].text

    status, text = check_ray()
    assert status == "ok", text
    assert text.startswith("Ray, 2 machines with 2 cores, would count on CPU with model ")
    assert text.endswith("--device cpu chooses CPUs without this warning")
    assert not ray.is_initialized()
    assert check_ray(ray_address="127.0.0.1:1") == (
        "FAIL", "no Ray cluster at 127.0.0.1:1: [Errno 111] Connection refused"
    )  # fmt: skip


def test_machine_with_another_version_is_named(cluster, monkeypatch):
    monkeypatch.setattr(ray_cluster, "__version__", "99.0")
    with pytest.raises(
        ReconcileError, match=r"machine \S+ of the Ray cluster has reconcile [\d.]+; install reconcile 99\.0"
    ):
        ray_cluster.Cluster(cluster.address)


@pytest.mark.parametrize("late", ["task", "actor"])
def test_late_machine_with_another_version_is_named(settings, grey_model, tmp_path, monkeypatch, late):
    folder = write_bucket(tmp_path / "w", {"00": (3, None)})
    engine = RayEngine(settings(model=grey_model, device="cpu"), print)
    if late == "task":
        monkeypatch.setattr(ray_engine, "__version__", "99.0")
    else:
        spec = engine._actor_spec()
        wrong = dataclasses.replace(spec, load=("99.0", *spec.load[1:]))
        monkeypatch.setattr(engine, "_actor_spec", lambda: wrong)
    with pytest.raises(
        ReconcileError,
        match=r"^machine [\d.]+ of the Ray cluster has reconcile [\d.]+; "
        r"install reconcile 99\.0 on it, as on this machine$",
    ):
        count(engine, folder, photos(folder, 1), tmp_path / "out")


def test_late_machine_without_reconcile_is_named(settings, grey_model, tmp_path, monkeypatch):
    folder = write_bucket(tmp_path / "w", {"00": (3, None)})
    engine = RayEngine(settings(model=grey_model, device="cpu"), print)

    def prepare(task, block):
        raise ModuleNotFoundError("No module named 'reconcile'")

    def check_machines(self):
        raise ReconcileError("machine 10.0.0.7 of the Ray cluster cannot import reconcile")

    monkeypatch.setattr(scheduler, "prepare", prepare)
    with monkeypatch.context() as patch:
        patch.setattr(ray_cluster.Cluster, "check_machines", check_machines)
        with pytest.raises(ReconcileError, match=r"^machine 10.0.0.7 of the Ray cluster cannot import reconcile$"):
            count(engine, folder, photos(folder, 1), tmp_path / "out")


@needs_abid
def test_rows_are_those_of_a_local_run(settings, local_run, tmp_path):
    folder, images, local = local_run
    rows = count(RayEngine(settings(), print), folder, images, tmp_path / "out")
    pd.testing.assert_frame_equal(rows, local, check_exact=True)


def test_image_that_crashes_its_task_gets_one_row(settings, grey_model, tmp_path, monkeypatch):
    folder = write_bucket(tmp_path / "w", {f"{n:02d}": (n % 7, None) for n in range(12)})
    prepare = scheduler.prepare

    def deadly(task, block):
        if any(stored.key.endswith("07.jpg") for stored in block):
            os._exit(1)
        return prepare(task, block)

    monkeypatch.setattr(scheduler, "prepare", deadly)
    monkeypatch.setattr(scheduler, "_RETRIES", 0)
    rows = count(RayEngine(settings(model=grey_model), print), folder, photos(folder, 12), tmp_path / "ray")
    [lost] = rows[rows["reason"].notna()].itertuples()
    assert (lost.image_key, lost.try_again) == ("bin-images/07.jpg", True)
    assert "was lost" in lost.reason
    others = rows[rows["reason"].isna()]
    assert list(others["predicted_count"]) == [n % 7 for n in range(12) if n != 7]


def test_interrupted_run_from_s3_continues(cluster, s3, grey_model, tmp_path):
    write_bucket(s3.root / "warehouse", {f"{n:05d}": (n % 7, 3) for n in range(BINS)})
    (s3.root / "warehouse" / "bin-images" / "00003.jpg").write_bytes(b"<html>")
    arguments = ["run", "--bucket", "warehouse", "--endpoint-url", s3.endpoint_url, "--model", grey_model]
    arguments += ["--engine", "ray", "--ray-address", cluster.address, "--device", "cpu"]
    arguments += ["--log-format", "json", "--out", "out"]
    command = [str(word) for word in [SCRIPTS / "reconcile", *arguments]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        log = ""
        for line in process.stderr:
            log += line
            if "00003.jpg" in line:  # the block of this photo has been counted
                process.send_signal(signal.SIGTERM)
        results = process.stdout.read()
    assert (process.returncode, results) == (130, ""), log
    lines = [json.loads(line) for line in log.splitlines()]  # output of Ray itself would not be JSON
    assert "on CPU (Ray, 2 machines with 2 cores)" in lines[0]["message"]
    assert [line["key"] for line in lines if "key" in line] == ["bin-images/00003.jpg"]
    kept = read_counts(tmp_path / "out")
    assert kept["image_key"].is_unique
    assert f"stopped after {len(kept):,} of " in log

    done = reconcile(*arguments)
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    assert (numbers["counted"], numbers["already_counted"]) == (BINS - len(kept), len(kept))
    rows = read_counts(tmp_path / "out")
    assert len(rows) == BINS
    assert rows["image_key"].is_unique


@needs_abid
def test_killed_node_loses_no_rows(cluster, settings, local_run, tmp_path, monkeypatch):
    folder, images, local = local_run
    ready, removed, done = [], set(), 0

    class Watched(actors.ActorPool):
        def loaded(self, loading):
            super().loaded(loading)
            ready.append(len(self._ready))

        def least_busy(self, node, exclusive):
            # Both actors must be ready first. Otherwise one could count everything before the other starts.
            return super().least_busy(node, exclusive) if 2 in ready else None

        def remove(self, actor):
            removed.add(actor.node)
            super().remove(actor)

    monkeypatch.setattr(actors, "ActorPool", Watched)

    def advance(number):
        nonlocal done
        done += number
        if done >= PHOTOS / 4 and cluster.second is not None:
            second, cluster.second = cluster.second, None
            cluster.cluster.remove_node(second, allow_graceful=False)

    node = cluster.second.node_id
    rows = count(RayEngine(settings(), print), folder, images, tmp_path / "out", advance)
    assert cluster.second is None, "the node was not killed while photos were counted"
    assert removed == {node}, "the killed node had no actor"
    pd.testing.assert_frame_equal(rows, local, check_exact=True)
