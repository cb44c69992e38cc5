"""The client of a simulated cluster: the operations of the real one, blocking and under way."""

import pytest

from dynacache.client.requests import Requests
from dynacache.errors import InvalidRequest
from dynacache.types import MissReason
from sim.cluster import SimulatedCluster
from sim.cluster_client import TEXT_LIMIT, Beginning, SimulatedClient, short


@pytest.fixture
def cluster() -> SimulatedCluster:
    """Five nodes, three copies."""
    return SimulatedCluster.start(3, nodes=5)


def test_operations_mean_what_they_mean_to_the_client(cluster: SimulatedCluster) -> None:
    with cluster.client() as cache:
        assert cache.get("k") is None
        assert cache.set("k", {"a": 1})
        fetched = cache.fetch("k", receipt=True)
        assert (fetched.value, fetched.found) == ({"a": 1}, True)
        assert fetched.receipt is not None
        assert set(fetched.receipt.answered) <= set(cluster.nodes)
        assert cache.get_and_set("k", "new") == {"a": 1}
        assert cache.exists("k")
        assert cache.delete("k")
        assert cache.fetch("k").miss_reason is MissReason.DELETED
        assert cache.increment("n", 5) == 5
        assert not cache.set("n", 1, only_if_absent=True)


def test_many_keys_at_once(cluster: SimulatedCluster) -> None:
    cache = cluster.client()
    cache.set_many({f"k{number}": number for number in range(20)})
    assert cache.get_many(["k3", "none", "k7"]) == {"k3": 3, "k7": 7}
    cache.delete_many(["k3", "k7"])
    assert cache.get_many(["k3", "k7"]) == {}


def test_a_namespace_has_settings_and_keys_of_its_own(cluster: SimulatedCluster) -> None:
    cache = cluster.client()
    sessions = cache.namespace("sessions")
    assert sessions.configure({"default_ttl_ms": 30_000})["settings"]["default_ttl_ms"] == 30_000
    sessions.set("k", 1)
    assert cache.get("k") is None
    assert 0 < (sessions.ttl("k") or 0) <= 30
    assert sessions.entry("k").value == 1
    assert sessions.settings()["settings"]["default_ttl_ms"] == 30_000
    assert sessions.scan() == [b"k"]
    sessions.flush()
    assert sessions.get("k") is None


def test_values_are_invalidated_by_tag_and_pattern(cluster: SimulatedCluster) -> None:
    cache = cluster.client()
    for number in range(6):
        cache.set(f"k{number}", number, tags=["even" if number % 2 == 0 else "odd"])
    assert cache.invalidate_tag("even")
    assert sorted(cache.scan("k", count=2)) == [b"k1", b"k3", b"k5"]
    assert cache.begin.invalidate_pattern("k[13]").result()
    assert cache.get_many([f"k{number}" for number in range(6)]) == {"k5": 5}
    assert cache.scan(pattern="*5") == [b"k5"]


def test_a_wrong_argument_is_refused_as_the_client_refuses_it(cluster: SimulatedCluster) -> None:
    with pytest.raises(InvalidRequest, match="level: got 'most'"):
        cluster.client(read_level="most")
    with pytest.raises(InvalidRequest, match="ttl"):
        cluster.client().set("k", 1, ttl=-1)


def test_calls_under_way_meet(cluster: SimulatedCluster) -> None:
    first, second = cluster.client(), cluster.client()
    before_s = cluster.now_s
    pending = [client.begin.increment("visits") for client in (first, second) for _ in range(10)]
    assert not any(each.done for each in pending)
    assert cluster.now_s == before_s
    assert sorted(each.result() for each in pending) == list(range(1, 21))
    assert first.get("visits") == 20
    assert "under way" not in repr(pending[0])


def test_concurrent_writes_are_kept_as_siblings(cluster: SimulatedCluster) -> None:
    """The reason for `begin`: on either side of a split, both writers are told yes."""
    first, second = cluster.client(), cluster.client()
    owners = first.owners("k")["owners"]
    cluster.fault("split", side=[owners[0], "client0"])
    cluster.fault("cut", sources=["client0"], targets=others(cluster, owners[:1]))
    cluster.fault("cut", sources=["client1"], targets=owners[:1])
    cluster.advance(10.0)  # both sides know by now; nothing is sent across that would arrive when all is well again
    one, two = first.begin.set("k", "a", level="one"), second.begin.set("k", "b", level="one")
    assert one.result()
    assert two.result()
    cluster.settle()
    fetched = first.fetch("k", siblings=True, level="all")
    assert {fetched.value, *(sibling.value for sibling in fetched.siblings)} == {"a", "b"}
    assert second.get("k", level="all") == fetched.value


def others(cluster: SimulatedCluster, some: list[str]) -> list[str]:
    """The nodes that are not among some."""
    return [node for node in cluster.nodes if node not in some]


def test_the_clients_operations_are_all_there() -> None:
    """What the real synchronous client has, but for pipelines and what asks about the cluster."""
    others = {"command", "of_namespace", "ping", "report", "status"}
    named = {name for kind in Requests.__mro__ for name, value in vars(kind).items() if callable(value)}
    operations = {name for name in named if not name.startswith("_")} - others
    assert operations - {"owners"} <= set(dir(Beginning))
    assert operations <= set(dir(SimulatedClient))


def test_it_prints_as_what_it_is(cluster: SimulatedCluster) -> None:
    cache = cluster.client()
    assert repr(cache) == "<simulated client client0>"
    pending = cache.begin.get("k")
    assert repr(pending) == "<client0 get('k'): under way>"
    assert repr(pending.wait()) == "<client0 get('k'): done>"


def test_long_values_are_cut() -> None:
    assert short("tea") == "'tea'"
    assert len(short("x" * 1000)) == TEXT_LIMIT
