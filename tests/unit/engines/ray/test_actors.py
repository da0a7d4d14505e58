"""Tests of the actor pool."""

from types import SimpleNamespace

from reconcile.engines.ray import actors as ray_actors
from reconcile.engines.ray.actors import ActorPool, ActorSpec, Capacity
from tests.unit.engines.ray.fake_ray import FakeRay


def test_pool_without_ready_actors_warns_once(monkeypatch):
    clock, warnings = SimpleNamespace(now=0.0), []
    monkeypatch.setattr(ray_actors, "ray", FakeRay([]))
    monkeypatch.setattr(ray_actors, "time", SimpleNamespace(monotonic=lambda: clock.now))
    pool = ActorPool(ActorSpec({"num_gpus": 1, "num_cpus": 0}, (), 2), lambda: Capacity(4, 4), warnings.append)

    def scale_at(*times):
        for clock.now in times:
            pool.scale(8)

    scale_at(1000, 1059)
    assert not warnings
    scale_at(1061, 1062, 1200)
    [warning] = warnings
    assert "no counting actor is ready after 60 s" in warning
    assert "Each actor needs 1 GPU of one machine, and 0.5 of the 4 GPUs of the Ray cluster are free" in warning
    for loading in pool.loading:
        pool.loaded(loading)
    scale_at(1300)
    while actor := pool.least_busy("node", exclusive=True):
        pool.remove(actor)
    scale_at(1301, 1360)
    assert len(warnings) == 1
    scale_at(1362)
    assert len(warnings) == 2
