"""Namespaces with a replication factor of their own, in whole nodes: owners, joins, restarts, splits."""

from typing import Any

import pytest

from dynacache.namespaces.names import prefix, qualify, with_factor
from dynacache.placement.table import MemberState
from dynacache.types import Level
from dynacache.wire.messages import COMMAND, DELETE, DONE, ERROR, GET, MISS, REPORT, REPORTED, SCAN, SCANNED, SET, VALUE
from tests.fake_cluster import FakeCluster

RAW = 1
ONE, FIVE = "single", "wide"


def cluster_of(count: int, **factors: int) -> FakeCluster:
    """Return a cluster with namespaces of these factors."""
    cluster = FakeCluster(count)
    cluster.run(3.0)
    for name, factor in factors.items():
        set_factor(cluster, "n1", name, factor)
    return cluster


def set_factor(cluster: FakeCluster, node: str, name: str, factor: int) -> Any:
    order = [COMMAND, "namespace_set", {"name": name, "options": {"replication_factor": factor}}]
    return cluster.ask(node, order, 2.0)


def holders(cluster: FakeCluster, name: str, key: bytes, factor: int) -> list[str]:
    """Return the nodes that hold a key of a namespace, by a look into their stores."""
    inside = with_factor(qualify(name, key), factor)
    partition = cluster.partition(qualify(name, key))
    assert partition // 1024 == factor
    return [each for each, node in cluster.nodes.items() if node.engine.peek(partition, inside) is not None]


def fill(cluster: FakeCluster, name: str, count: int, level: int = Level.ALL, node: str = "n1") -> list[bytes]:
    keys = [b"key %d" % number for number in range(count)]
    replies = cluster.ask_many(node, [[SET, qualify(name, key), RAW, key + b"!", level] for key in keys], 1.0)
    assert [reply[0] for reply in replies] == [DONE] * count, replies[:3]
    return keys


def read(cluster: FakeCluster, node: str, name: str, keys: list[bytes], level: int = Level.QUORUM) -> list[bytes]:
    """Return the keys that a node does not find."""
    replies = cluster.ask_many(node, [[GET, qualify(name, key), level] for key in keys], 1.0)
    return [key for key, reply in zip(keys, replies, strict=True) if reply[0] != VALUE or reply[3] != key + b"!"]


def settled(cluster: FakeCluster) -> bool:
    return not any(node.engine.warming or node.exchange.departing for node in cluster.nodes.values())


def test_each_namespace_has_as_many_copies_as_it_says() -> None:
    cluster = cluster_of(6, **{ONE: 1, FIVE: 5})
    for name, factor in ((ONE, 1), (FIVE, 5)):
        keys = fill(cluster, name, 40)
        for key in keys:
            assert len(holders(cluster, name, key, factor)) == factor
            assert sorted(holders(cluster, name, key, factor)) == sorted(cluster.owners(qualify(name, key)))
        for node in cluster.nodes:
            assert read(cluster, node, name, keys) == []
    assert all(len({*cluster.owners(b"key %d" % number)}) == 3 for number in range(20))
    assert all(not node.engine.warming for node in cluster.nodes.values()), "a new factor fills nothing"


def test_the_clusters_own_factor_is_none_of_its_own() -> None:
    cluster = cluster_of(4, same=3)
    assert cluster.nodes["n1"].members.table.factors == ()
    keys = fill(cluster, "same", 5)
    assert cluster.partition(qualify("same", keys[0])) < 1024


@pytest.mark.parametrize("down", [1, 2])
def test_a_quorum_of_five_is_three(down: int) -> None:
    cluster = cluster_of(5, **{FIVE: 5})
    keys = fill(cluster, FIVE, 20)
    for number in range(down):
        cluster.kill(f"n{number + 2}")
    cluster.run(0.5)
    assert read(cluster, "n1", FIVE, keys, Level.STRICT_QUORUM) == []
    fill(cluster, FIVE, 20, Level.STRICT_QUORUM)
    cluster.kill("n4")
    cluster.run(0.5)
    reply = cluster.ask("n1", [SET, qualify(FIVE, b"key 1"), RAW, b"x", Level.STRICT_QUORUM], 3.0)
    assert reply[0] == (DONE if down == 1 else ERROR)


def test_one_copy_needs_no_other_node() -> None:
    cluster = cluster_of(3, **{ONE: 1})
    keys = fill(cluster, ONE, 30)
    mine = [key for key in keys if cluster.owners(qualify(ONE, key)) == ["n1"]]
    others = [key for key in keys if cluster.owners(qualify(ONE, key)) == ["n2"]]
    assert mine
    assert others
    cluster.kill("n2")
    cluster.kill("n3")
    cluster.run(0.5)
    assert read(cluster, "n1", ONE, mine, Level.STRICT_QUORUM) == []
    assert len(read(cluster, "n1", ONE, others, Level.STRICT_QUORUM)) == len(others)


def test_a_node_that_joins_takes_its_part_of_every_factor() -> None:
    cluster = cluster_of(5, **{ONE: 1, FIVE: 5})
    keys = {name: fill(cluster, name, 150) for name in (ONE, FIVE, "plain")}
    before = {key: cluster.owners(qualify(ONE, key)) for key in keys[ONE]}
    cluster.join("n6")
    cluster.nodes["n6"].ring.request_join()
    cluster.run(40.0)
    table = cluster.nodes["n6"].members.table
    assert table.entries["n6"].state is MemberState.NORMAL
    assert [factor for factor, _ in table.factors] == [1, 5]
    assert settled(cluster)
    moved = [key for key in keys[ONE] if cluster.owners(qualify(ONE, key)) != before[key]]
    assert moved
    assert all(cluster.owners(qualify(ONE, key)) == ["n6"] for key in moved)
    for name, factor in ((ONE, 1), (FIVE, 5)):
        for key in keys[name]:
            assert sorted(holders(cluster, name, key, factor)) == sorted(cluster.owners(qualify(name, key)))
        for node in ("n1", "n6"):
            assert read(cluster, node, name, keys[name], Level.STRICT_QUORUM) == []
    assert [fields for _, note in cluster.notes if note.event == "memory.lost" for fields in [note.fields]] == []


def test_a_node_that_leaves_hands_its_only_copies_on() -> None:
    cluster = cluster_of(4, **{ONE: 1})
    keys = fill(cluster, ONE, 100)
    cluster.nodes["n2"].ring.request_leave()
    cluster.run(40.0)
    assert cluster.nodes["n1"].members.table.entries["n2"].state is MemberState.LEFT
    assert read(cluster, "n1", ONE, keys, Level.STRICT_QUORUM) == []


def test_who_starts_again_is_filled_with_every_factor() -> None:
    cluster = cluster_of(5, **{FIVE: 5})
    keys = fill(cluster, FIVE, 60)
    cluster.kill("n3")
    cluster.run(1.0)
    cluster.restart("n3")
    cluster.run(0.2)
    numbers = range(5 * 1024, 6 * 1024)
    assert sum(partition in numbers for partition in cluster.nodes["n3"].engine.warming) == 1024
    cluster.run(12.0)
    assert settled(cluster)
    assert all("n3" in holders(cluster, FIVE, key, 5) for key in keys)


def test_a_factor_that_comes_while_a_node_joins() -> None:
    cluster = cluster_of(4)
    fill(cluster, "plain", 50)
    cluster.join("n5")
    cluster.nodes["n5"].ring.request_join()
    for _ in range(200):
        cluster.run(0.1)
        if cluster.nodes["n1"].members.table.entries["n5"].state is MemberState.JOINING:
            break
    set_factor(cluster, "n1", FIVE, 5)
    set_factor(cluster, "n2", ONE, 1)
    keys = {name: fill(cluster, name, 40) for name in (ONE, FIVE)}
    cluster.run(60.0)
    assert cluster.nodes["n1"].members.table.entries["n5"].state is MemberState.NORMAL
    assert settled(cluster)
    for name, factor in ((ONE, 1), (FIVE, 5)):
        assert read(cluster, "n5", name, keys[name], Level.STRICT_QUORUM) == []
        for key in keys[name]:
            assert sorted(holders(cluster, name, key, factor)) == sorted(cluster.owners(qualify(name, key)))


def test_sides_of_a_split_that_each_add_a_factor() -> None:
    cluster = cluster_of(4)
    for first in ("n1", "n2"):
        for second in ("n3", "n4"):
            cluster.cut_link(first, second)
    cluster.run(1.0)
    set_factor(cluster, "n1", ONE, 1)
    set_factor(cluster, "n3", "pair", 2)
    set_factor(cluster, "n4", ONE, 1)
    cluster.heal()
    cluster.run(5.0)
    tables = {node.members.table.factors for node in cluster.nodes.values()}
    assert len(tables) == 1
    assert [factor for factor, _ in tables.pop()] == [1, 2]
    digests = {node.shared.digest for node in cluster.nodes.values()}
    assert len(digests) == 1
    for name, factor in ((ONE, 1), ("pair", 2)):
        keys = fill(cluster, name, 20)
        assert all(len(holders(cluster, name, key, factor)) == factor for key in keys)
        assert read(cluster, "n4", name, keys) == []


def test_a_copy_that_was_cut_off_is_repaired() -> None:
    cluster = cluster_of(5, **{FIVE: 5})
    for other in ("n1", "n2", "n3", "n4"):
        cluster.cut_link("n5", other)
    cluster.run(0.5)
    keys = fill(cluster, FIVE, 50, Level.QUORUM)
    for node in cluster.nodes.values():
        for target, key, _ in list(node.hints.items()):
            node.hints.remove(target, key)
    cluster.heal()
    cluster.run(60.0)
    assert all(len(holders(cluster, FIVE, key, 5)) == 5 for key in keys)
    for node in cluster.nodes.values():
        assert all(node.engine.check_trees(partition) for numbers in node.engine.partitions for partition in numbers)
        assert node.engine.usage() == node.engine.recount()


def test_a_factor_is_chosen_once() -> None:
    cluster = cluster_of(4, **{ONE: 1})
    reply = set_factor(cluster, "n2", ONE, 2)
    assert reply[0] == ERROR
    assert "make a new namespace with 2, or drop" in reply[3]
    assert "make a new namespace without one, or drop" in set_factor(cluster, "n2", ONE, 0)[3]
    for number, factor in enumerate((2, 4, 5)):
        assert set_factor(cluster, "n1", f"name{number}", factor)[0] == REPORTED
    reply = set_factor(cluster, "n1", "more", 6)
    assert reply[0] == ERROR
    assert "at most 4 beside its own" in reply[3]
    assert set_factor(cluster, "n1", "again", 5)[0] == REPORTED


def test_a_factor_needs_every_member() -> None:
    cluster = cluster_of(3)
    cluster.kill("n3")
    cluster.run(1.0)
    reply = set_factor(cluster, "n1", ONE, 1)
    assert reply[0] == ERROR
    assert "it spreads on" in reply[3]
    cluster.restart("n3")
    cluster.run(2.0)
    assert cluster.nodes["n3"].shared.namespaces.factor(ONE) == 1


def test_scans_see_the_keys_of_their_namespace_as_clients_know_them() -> None:
    cluster = cluster_of(5, **{ONE: 1, FIVE: 5})
    for name in (ONE, FIVE):
        keys = fill(cluster, name, 60)
        found: list[bytes] = []
        cursor = b""
        while True:
            reply = cluster.ask("n2", [SCAN, cursor, prefix(name), None, 7], 1.0)
            assert reply[0] == SCANNED, reply
            found += reply[3]
            cursor = reply[2]
            if not cursor:
                break
        assert sorted(found) == sorted(qualify(name, key) for key in keys)


def test_a_client_may_not_name_a_factor_itself() -> None:
    cluster = cluster_of(3, **{ONE: 1})
    for message in ([GET, with_factor(qualify(ONE, b"k"), 1)], [DELETE, with_factor(qualify("other", b"k"), 2)]):
        reply = cluster.ask("n1", message)
        assert reply[0] == ERROR
        assert "without a factor" in reply[3]


def test_what_a_node_tells_of_a_key_is_of_its_own_partition() -> None:
    cluster = cluster_of(4, **{ONE: 1})
    (key,) = fill(cluster, ONE, 1)
    qualified = qualify(ONE, key)
    (owner,) = cluster.owners(qualified)
    told = cluster.ask(owner, [REPORT, "explain", qualified])[2]
    assert told["partition"] == cluster.partition(qualified)
    assert told["copy"]["held"]
    assert cluster.ask("n1", [REPORT, "table"])[2] is not None
    assert cluster.ask("n1", [DELETE, qualified, Level.ALL])[0] == DONE
    assert cluster.ask("n1", [GET, qualified, Level.ALL])[0] == MISS


def test_what_concerns_other_namespaces_does_not_wait_for_those_of_one_copy() -> None:
    cluster = cluster_of(4, **{ONE: 1, FIVE: 5})
    fill(cluster, ONE, 3)
    cluster.kill("n4")
    cluster.run(0.5)
    assert (
        cluster.ask("n1", [COMMAND, "namespace_set", {"name": "web", "options": {"sliding": True}}], 2.0)[0] == REPORTED
    )
    assert cluster.ask("n1", [COMMAND, "namespace_drop", {"name": FIVE}], 2.0)[0] == REPORTED
    reply = cluster.ask("n1", [COMMAND, "namespace_drop", {"name": ONE}], 2.0)
    assert reply[0] == ERROR, "the keys that n4 owns alone may be read there"


def test_what_is_dropped_is_gone_and_may_be_made_anew() -> None:
    cluster = cluster_of(4, **{ONE: 1})
    keys = fill(cluster, ONE, 20)
    assert cluster.ask("n1", [COMMAND, "namespace_drop", {"name": ONE}], 2.0)[0] == REPORTED
    assert len(read(cluster, "n2", ONE, keys)) == 20
    assert set_factor(cluster, "n3", ONE, 2)[0] == REPORTED
    assert len(read(cluster, "n2", ONE, keys)) == 20
    keys = fill(cluster, ONE, 20)
    assert all(len(holders(cluster, ONE, key, 2)) == 2 for key in keys)
    cluster.run(5.0)
    assert all(node.engine.held()[0] <= 20 for node in cluster.nodes.values())
