"""The simulated cluster as tests of applications use it: time, faults, healing, the story."""

from typing import Any

import pytest

from dynacache.client.values import Key
from dynacache.errors import DynacacheError, UnavailableError
from sim.cluster import STORY_LIMIT, SimulatedCluster
from sim.faults.schedule import FAULT_KINDS

ANYTHING: dict[str, Any] = {
    "node": "n1",
    "nodes": ["n1"],
    "first": "n1",
    "second": "n2",
    "side": ["n1"],
    "sources": ["n1"],
    "targets": ["n2", "n3"],
    "rate": 0.1,
    "extra_s": 0.01,
    "factor_s": 0.001,
    "offset_ms": 100,
    "parts_per_million": 100,
    "limit_bytes": 100_000,
}


@pytest.fixture
def cluster() -> SimulatedCluster:
    """Five nodes, three copies."""
    return SimulatedCluster.start(3, nodes=5)


def test_virtual_time_expires_what_it_should(cluster: SimulatedCluster) -> None:
    cache = cluster.client()
    cache.set("k", 1, ttl=60)
    cluster.advance(59)
    assert cache.get("k") == 1
    ttl = cache.ttl("k")
    assert ttl is not None
    assert 0 < ttl < 1.1
    cluster.advance(1.1)
    assert not cache.fetch("k").found


def test_a_crash_loses_no_acknowledged_write(cluster: SimulatedCluster) -> None:
    cache = cluster.client()
    values: dict[Key, int] = {f"k{number}": number for number in range(30)}
    cache.set_many(values)
    victim = cache.owners("k0")["owners"][0]
    cluster.fault("crash", node=victim)
    assert cluster.running == tuple(name for name in cluster.nodes if name != victim)
    assert cache.get_many(values) == values
    cluster.heal()
    assert cluster.wait_until(lambda: victim in cluster.running)
    assert cache.get_many(values) == values


def test_a_cluster_that_is_cut_off_says_so(cluster: SimulatedCluster) -> None:
    cache = cluster.client(timeout=2.0)
    cache.set("k", 1)
    for node in cluster.nodes:
        cluster.fault("isolate", node=node)
    before_s = cluster.now_s
    with pytest.raises(DynacacheError):
        cache.set("k", 2)
    assert cluster.now_s - before_s <= 3.0
    cluster.settle()
    assert cache.get("k", level="all") in (1, 2)


def test_a_fault_later_happens_then_and_healing_cancels_it(cluster: SimulatedCluster) -> None:
    cluster.fault("crash", node="n1", after_s=5.0)
    cluster.advance(4.9)
    assert "n1" in cluster.running
    cluster.advance(0.2)
    assert "n1" not in cluster.running
    cluster.settle()
    cluster.fault("crash", node="n2", after_s=5.0)
    cluster.heal()
    cluster.advance(10.0)
    assert cluster.running == cluster.nodes


def test_a_fault_with_a_duration_ends_by_itself(cluster: SimulatedCluster) -> None:
    cluster.fault("crash", node="n1", down_s=2.0)
    assert "n1" not in cluster.running
    assert cluster.wait_until(lambda: "n1" in cluster.running, 10.0)


def test_an_outside_node_joins() -> None:
    cluster = SimulatedCluster.start(1, joiners=1)
    assert cluster.nodes == ("n1", "n2", "n3", "j1")
    cluster.fault("join", node="j1")
    assert cluster.wait_until(lambda: "j1" in cluster.running)


@pytest.mark.parametrize(
    ("kind", "arguments", "complaint"),
    [
        ("flood", {}, "got kind 'flood', expected one of blackout, clock_drift"),
        ("crash", {}, "expected"),
        ("crash", {"node": "n1", "colour": 1}, "colour"),
        ("crash", {"node": "n9"}, "got node 'n9', expected one of n1"),
        ("cut", {"sources": ["n1"], "targets": ["nobody"]}, "got targets 'nobody'"),
    ],
)
def test_a_fault_that_there_is_not(
    cluster: SimulatedCluster, kind: str, arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        cluster.fault(kind, **arguments)
    assert cluster.running == cluster.nodes
    assert not cluster.story


def test_faults_from_the_seed_are_the_same_each_time_and_can_be_survived() -> None:
    drawn = []
    for seed in (1, 1, 2):
        cluster = SimulatedCluster.start(seed)
        cache = cluster.client(timeout=20.0)
        drawn.append(cluster.faults_from_seed(30.0, kinds=("crash", "pause", "loss", "delay")))
        acknowledged: dict[str, int] = {}
        for number in range(30):
            try:
                cache.set(f"k{number}", number)
                acknowledged[f"k{number}"] = number
            except DynacacheError:
                pass
            cluster.advance(1.0)
        cluster.settle()
        assert len(acknowledged) >= 20
        assert cache.get_many(acknowledged) == acknowledged
    assert drawn[0] == drawn[1] != drawn[2]
    assert {fault.kind for fault in drawn[0]} <= {"crash", "pause", "loss", "delay"}
    with pytest.raises(ValueError, match="got flood, expected some of"):
        cluster.faults_from_seed(1.0, kinds=("flood",))


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_every_kind_of_fault_can_be_asked_for_and_healed(kind: str) -> None:
    cluster = SimulatedCluster.start(1)
    cache = cluster.client()
    cache.set("k", 1)
    cluster.fault(kind, **{name: value for name, value in ANYTHING.items() if name in FAULT_KINDS[kind]})
    cluster.advance(1.0)
    assert cache.get("k") == 1
    cluster.settle()
    assert cluster.running == (("n2", "n3") if kind == "leave" else cluster.nodes)
    assert cache.get("k", level="all") == 1


def test_the_same_seed_is_the_same_story() -> None:
    def story(seed: int) -> list[str]:
        cluster = SimulatedCluster.start(seed)
        cache = cluster.client()
        cluster.fault("pause", node="n2", duration_s=1.0)
        for number in range(10):
            cache.set("k", number)
        return list(cluster.story)

    assert story(1) == story(1) != story(2)


def test_the_story_keeps_its_last_lines(cluster: SimulatedCluster) -> None:
    cache = cluster.client()
    for _ in range(STORY_LIMIT + 5):
        cache.exists("k")
    cache.set("k", "x" * 1000)
    assert len(cluster.story) == STORY_LIMIT
    assert "set('k', 'xxx" in cluster.story[-1]
    assert len(cluster.story[-1]) < 200


def test_what_leaves_a_core_is_raised(cluster: SimulatedCluster) -> None:
    node = cluster.world.machines["n1"].node
    assert node is not None
    node.handle = _broken  # type: ignore[assignment, method-assign]
    with pytest.raises(ZeroDivisionError):
        cluster.advance(10.0)
    assert "ZeroDivisionError left the core of n1" in cluster.story[-1]


def _broken(*_: object) -> None:
    raise ZeroDivisionError


def test_what_cannot_settle_says_so(cluster: SimulatedCluster) -> None:
    cluster.fault("crash", node="n1")
    with pytest.raises(UnavailableError, match=r"not settled within 0\.001 virtual seconds"):
        cluster.settle(0.001)
    cluster.settle()


def test_options_are_checked_and_fit_together() -> None:
    assert SimulatedCluster.start(1, nodes=2).options.replication_factor == 2
    with pytest.raises(ValueError, match="got nodez, expected some of nodes"):
        SimulatedCluster.start(1, nodez=3)


def test_it_prints_as_what_it_is(cluster: SimulatedCluster) -> None:
    assert repr(cluster) == "<simulated cluster, seed 3, 5 of 5 nodes serving>"
