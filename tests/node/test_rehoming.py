"""Entries under another replication factor than their namespace has are moved, by every owner, and none is lost."""

from typing import Any

import pytest

from dynacache.errors import NotReady
from dynacache.events import Effects
from dynacache.namespaces.names import qualify, with_factor
from dynacache.node import rehoming
from dynacache.node.catalogue_change import Levels
from dynacache.node.rehoming import Rehoming
from dynacache.repair.hints import HintStore
from dynacache.types import Level, NodeId
from dynacache.wire.epoch_names import FLUSH, epoch_name
from dynacache.wire.messages import COMMAND, DELETE, DONE, ERROR, GET, MISS, REPORTED, SCAN, SCANNED, SET, VALUE
from tests.fake_cluster import FakeCluster

RAW = 1


def set_factor(cluster: FakeCluster, node: str, name: str, factor: int) -> Any:
    order = [COMMAND, "namespace_set", {"name": name, "options": {"replication_factor": factor}}]
    return cluster.ask(node, order, 0.3)


def written(cluster: FakeCluster, node: str, name: str, count: int, value: bytes = b"1") -> list[bytes]:
    keys = [qualify(name, b"key %d" % number) for number in range(count)]
    replies = cluster.ask_many(node, [[SET, key, RAW, value, Level.QUORUM] for key in keys], 0.5)
    assert all(reply[0] == DONE for reply in replies)
    return keys


def values(cluster: FakeCluster, node: str, keys: list[bytes]) -> set[bytes | None]:
    replies = cluster.ask_many(node, [[GET, key, Level.STRICT_QUORUM] for key in keys], 0.5)
    return {reply[3] if reply[0] == VALUE else None for reply in replies}


def copies(cluster: FakeCluster, key: bytes) -> int:
    """Return how many copies there are of exactly this key."""
    return sum(
        node.engine.peek(partition, key) is not None
        for node in cluster.nodes.values()
        for numbers in node.engine.partitions
        for partition in numbers
    )


def moved(cluster: FakeCluster) -> int:
    return sum(node.rehoming.moved for node in cluster.nodes.values())


def test_a_namespace_in_use_that_gets_a_factor_keeps_what_it_held() -> None:
    cluster = FakeCluster(6)
    cluster.run(3.0)
    keys = written(cluster, "n1", "web", 60)
    deleted = keys[:5]
    assert all(reply[0] == DONE for reply in cluster.ask_many("n2", [[DELETE, key, Level.ALL] for key in deleted]))
    assert set_factor(cluster, "n1", "web", 5)[0] == REPORTED
    cluster.run(20.0)
    assert values(cluster, "n4", keys[5:]) == {b"1"}
    assert values(cluster, "n4", deleted) == {None}
    for key in keys[5:10]:
        assert copies(cluster, key) == 0
        assert copies(cluster, with_factor(key, 5)) == 5
    assert moved(cluster) == 3 * 60
    assert all(node.rehoming.is_idle for node in cluster.nodes.values())
    assert all(not node.hints.total_bytes for node in cluster.nodes.values())
    assert not [note for _, note in cluster.notes if note.event in ("hint.lost", "namespace.entries_dropped")]


def test_what_was_written_since_wins() -> None:
    cluster = FakeCluster(4)
    cluster.run(3.0)
    keys = written(cluster, "n1", "web", 20)
    assert set_factor(cluster, "n1", "web", 1)[0] == REPORTED
    for key in keys[:10]:
        cluster.ask("n2", [SET, key, RAW, b"2", Level.ONE], 0.01)
    for key in keys[10:]:
        cluster.ask("n2", [DELETE, key, Level.ONE], 0.01)
    cluster.run(20.0)
    assert values(cluster, "n3", keys[:10]) == {b"2"}
    assert values(cluster, "n3", keys[10:]) == {None}


def test_two_sides_that_chose_differently_end_with_one_factor_and_every_entry() -> None:
    cluster = FakeCluster(6)
    cluster.run(3.0)
    for first in ("n1", "n2", "n3"):
        for second in ("n4", "n5", "n6"):
            cluster.cut_link(first, second)
    cluster.run(1.0)
    set_factor(cluster, "n1", "web", 1)
    set_factor(cluster, "n4", "web", 5)
    near = [
        key
        for key in (qualify("web", b"near %d" % number) for number in range(60))
        if cluster.ask("n1", [SET, key, RAW, b"1", Level.ONE], 0.05)[0] == DONE
    ]
    far = [
        key
        for key in (qualify("web", b"far %d" % number) for number in range(20))
        if cluster.ask("n4", [SET, key, RAW, b"1", Level.QUORUM], 0.05)[0] == DONE
    ]
    assert near
    assert far
    cluster.heal()
    cluster.run(60.0)
    assert {node.shared.namespaces.factor("web") for node in cluster.nodes.values()} == {5}
    assert values(cluster, "n2", near) == {b"1"}
    assert values(cluster, "n5", far) == {b"1"}
    assert all(copies(cluster, with_factor(key, 1)) == 0 for key in near)
    assert all(node.rehoming.is_idle for node in cluster.nodes.values())


def test_what_there_is_no_room_for_stays_until_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster(5)
    cluster.run(3.0)
    keys = written(cluster, "n1", "web", 10)
    monkeypatch.setattr(HintStore, "add", lambda *_, **__: False)
    assert set_factor(cluster, "n1", "web", 1)[0] == REPORTED
    cluster.run(5.0)
    assert all(copies(cluster, key) + copies(cluster, with_factor(key, 1)) for key in keys)
    monkeypatch.undo()
    cluster.run(20.0)
    assert values(cluster, "n2", keys) == {b"1"}
    assert all(copies(cluster, key) == 0 for key in keys)


def test_what_is_too_old_is_dropped_and_told() -> None:
    cluster = FakeCluster(3)
    cluster.run(3.0)
    keys = written(cluster, "n1", "web", 8)
    node = cluster.nodes["n1"]
    node.shared.stale_after_ms = -1
    assert set_factor(cluster, "n1", "web", 1)[0] == REPORTED
    cluster.run(3.0)
    assert node.rehoming.dropped == len(keys)
    told = [(name, note.fields["entries"]) for name, note in cluster.notes if note.event == "namespace.entries_dropped"]
    assert {name for name, _ in told} == {"n1"}
    assert sum(int(str(entries)) for _, entries in told) == len(keys)


def test_a_walk_takes_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehoming, "RECORDS_A_TICK", 7)
    monkeypatch.setattr(rehoming, "PARTITIONS_A_TICK", 100)
    cluster = FakeCluster(3)
    cluster.run(3.0)
    keys = written(cluster, "n1", "web", 50)
    assert set_factor(cluster, "n1", "web", 2)[0] == REPORTED
    cluster.run(15.0)
    assert moved(cluster) == 3 * len(keys)
    assert values(cluster, "n1", keys) == {b"1"}


def test_without_factors_nothing_is_looked_at() -> None:
    cluster = FakeCluster(3)
    written(cluster, "n1", "web", 5)
    node = cluster.nodes["n2"]
    assert isinstance(node.rehoming, Rehoming)
    node.engine.census.tenants = None  # type: ignore[assignment]
    node.rehoming.tick()


def test_a_node_that_has_begun_serves_no_namespace_before_it_knows_them() -> None:
    cluster = FakeCluster(4)
    cluster.run(3.0)
    set_factor(cluster, "n1", "web", 2)
    keys = written(cluster, "n1", "web", 10)
    cluster.kill("n2")
    cluster.run(0.5)
    cluster.restart("n2")
    begun = cluster.nodes["n2"].shared.namespaces
    assert [begun.is_known] == [False]
    reply = cluster.ask("n2", [GET, keys[0], Level.QUORUM], 0.0)
    assert reply is None or reply[0] not in (MISS, VALUE)
    cluster.run(0.3)
    assert begun.is_known
    cluster.run(12.0)
    assert values(cluster, "n2", keys) == {b"1"}


def begun_cut_off(*names: str, members: int) -> tuple[FakeCluster, list[bytes]]:
    """Return a cluster of which some have begun without memory and reach each other alone, and keys of ``web``."""
    cluster = FakeCluster(members)
    cluster.run(3.0)
    set_factor(cluster, "n1", "web", 2)
    keys = written(cluster, "n1", "web", 10)
    for name in names:
        cluster.kill(name)
    cluster.run(0.5)
    for name in names:
        cluster.restart(name)
        for other in set(cluster.nodes) - set(names):
            cluster.cut_link(name, other)
    cluster.run(0.5)
    return cluster, keys


def known(cluster: FakeCluster, *names: str) -> list[bool]:
    return [cluster.nodes[name].shared.namespaces.is_known for name in names]


def test_who_has_begun_as_well_is_not_believed_to_know_of_namespaces() -> None:
    cluster, keys = begun_cut_off("n2", "n3", members=5)
    assert known(cluster, "n2", "n3") == [False, False]
    assert cluster.ask("n2", [SET, keys[0], RAW, b"2", Level.ONE], 0.05)[0] == ERROR
    cluster.heal()
    cluster.run(12.0)
    assert known(cluster, "n2", "n3") == [True, True]
    assert values(cluster, "n2", keys) == {b"1"}


def test_where_most_have_begun_nobody_is_waited_for() -> None:
    cluster, _ = begun_cut_off("n2", "n3", "n4", members=5)
    assert known(cluster, "n2", "n3", "n4") == [True, True, True]


def test_a_scan_is_refused_and_not_empty_before_namespaces_are_known() -> None:
    cluster, keys = begun_cut_off("n2", "n3", members=5)
    prefix = keys[0][:5]
    reply = cluster.ask("n2", [SCAN, b"", prefix, None, 100, 0, 0], 0.2)
    assert (reply[0], reply[2]) == (ERROR, NotReady.code)
    cluster.heal()
    cluster.run(12.0)
    reply = cluster.ask("n2", [SCAN, b"", prefix, None, 100, 0, 0], 0.2)
    assert reply[0] == SCANNED


def test_an_invalidation_is_counted_where_every_namespace_may_be_before_they_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster, _ = begun_cut_off("n2", members=4)
    node, seen = cluster.nodes["n2"], list[frozenset[int]]()
    assert known(cluster, "n2") == [False]

    def lacking(_: Levels, level: int, holders: set[NodeId], factors: frozenset[int]) -> None:
        seen.append(factors)

    monkeypatch.setattr(Levels, "lacking", lacking)
    node.shared.effects = Effects()
    entry = (epoch_name(FLUSH, b"web"), node.shared.clock.last, b"")
    node.catalogue_sync.change([entry], Level.QUORUM, 1_000, lambda error: None)
    assert seen == [frozenset({0, 2})]
