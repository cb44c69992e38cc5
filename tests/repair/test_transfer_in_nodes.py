"""Transfers in whole nodes: restarted without memory, filled again, writes and misses meanwhile."""

from typing import Any

import pytest

from dynacache.placement.partitions import key_hash
from dynacache.placement.table import MemberState
from dynacache.types import Level, MissReason
from dynacache.wire.messages import DELETE, DONE, ERROR, GET, MISS, SET, VALUE
from tests.fake_cluster import FakeCluster

RAW = 1
SETTLE_S = 6.0
"""How long a restarted node waits for writes of its earlier process."""


def partition_of(key: bytes) -> int:
    return key_hash(key) >> 22


def fill(cluster: FakeCluster, count: int, size: int = 20) -> list[bytes]:
    keys = [b"key %d" % number for number in range(count)]
    for start in range(0, count, 100):
        sets: list[list[Any]] = [[SET, key, RAW, key + b"v" * size, Level.ALL] for key in keys[start : start + 100]]
        assert all(reply[0] == DONE for reply in cluster.ask_many("n1", sets))
    return keys


def notes(cluster: FakeCluster, event: str) -> list[tuple[str, dict[str, object]]]:
    return [(name, note.fields) for name, note in cluster.notes if note.event == event]


def statistics(cluster: FakeCluster, name: str) -> dict[str, Any]:
    return {key.removeprefix("transfer_"): value for key, value in cluster.nodes[name].upkeep.statistics().items()}


@pytest.mark.parametrize("full", ["n1", "n2"])
def test_what_one_source_has_evicted_comes_from_the_other(full: str) -> None:
    cluster = FakeCluster(3)
    keys = fill(cluster, 300)
    engine = cluster.nodes[full].engine
    engine.set_limit(engine.usage().total_bytes - 20_000)
    cluster.run(1.0)
    evicted = [key for key in keys if cluster.record(full, key) is None]
    assert evicted
    assert all(engine.remembers(partition_of(key)) for key in evicted)
    engine.set_limit(engine.settings.limit_bytes)
    cluster.kill("n3")
    cluster.run(1.0)
    cluster.restart("n3")
    cluster.run(SETTLE_S + 2.0)
    assert not cluster.nodes["n3"].engine.warming
    assert [key for key in keys if cluster.record("n3", key) is None] == []


def test_killed_restarted_empty_and_filled_again() -> None:
    cluster = FakeCluster(3)
    keys = fill(cluster, 300)
    deleted = keys[:20]
    assert all(reply[0] == DONE for reply in cluster.ask_many("n1", [[DELETE, key, Level.ALL] for key in deleted]))
    cluster.kill("n3")
    cluster.run(1.0)
    cluster.restart("n3")
    engine = cluster.nodes["n3"].engine
    assert len(engine.warming) == 1024
    cluster.run(1.0)
    miss = cluster.ask("n3", [GET, b"never written", Level.ONE])
    assert miss[0] == MISS
    assert cluster.ask("n3", [GET, keys[50], Level.ONE])[3] == keys[50] + b"v" * 20, "others are asked meanwhile"
    cluster.run(SETTLE_S)
    assert not engine.warming
    for key in keys:
        record = cluster.record("n3", key)
        assert record is not None
        assert record[1:] == (cluster.record("n1", key) or b"")[1:], "tombstones too"
    ((name, fields),) = notes(cluster, "memory.complete")
    assert name == "n3"
    assert fields["partitions"] == 1024
    assert fields["memory_lost"] == 0
    assert 6.0 <= float(str(fields["seconds"])) < 7.0
    assert statistics(cluster, "n3")["filled_from_quorum"] == 1024
    roots = [node.engine.roots for node in cluster.nodes.values()]
    assert roots[0] == roots[1] == roots[2]
    assert all(cluster.nodes["n3"].engine.check_trees(partition) for partition in range(0, 1024, 64))


def test_until_it_is_complete_a_restarted_node_says_unknown_and_afterwards_absent() -> None:
    cluster = FakeCluster(3)
    fill(cluster, 10)
    cluster.kill("n3")
    cluster.restart("n3")
    for name in ("n1", "n2"):
        cluster.cut_link("n3", name)
    reply = cluster.ask("n3", [GET, b"nothing", Level.ONE, 100], 1.0)
    assert reply[0] in (ERROR, MISS)
    assert reply[0] == ERROR or reply[2] == MissReason.UNKNOWN
    cluster.heal()
    cluster.run(SETTLE_S + 2.0)
    assert not cluster.nodes["n3"].engine.warming
    reply = cluster.ask("n3", [GET, b"nothing", Level.ALL])
    assert (reply[0], reply[2]) == (MISS, MissReason.NEVER_WRITTEN)


def test_writes_during_the_transfer_are_not_lost_and_deletes_stay() -> None:
    cluster = FakeCluster(3)
    keys = fill(cluster, 200)
    cluster.kill("n3")
    cluster.restart("n3")
    cluster.nodes["n3"].transfer.set_limit(2_000)
    cluster.run(SETTLE_S)
    for number, key in enumerate(keys):
        cluster.run(0.01)
        if number % 4 == 0:
            assert cluster.ask("n1", [SET, key, RAW, b"new", Level.QUORUM], 0.01)[0] == DONE
        elif number % 4 == 1:
            assert cluster.ask("n3", [DELETE, key, Level.QUORUM], 0.01)[0] == DONE
    assert cluster.nodes["n3"].engine.warming, "still under way"
    cluster.nodes["n3"].transfer.set_limit(1 << 20)
    cluster.run(5.0)
    assert not cluster.nodes["n3"].engine.warming
    cluster.kill("n1")
    for number, key in enumerate(keys):
        reply = cluster.ask("n3", [GET, key, Level.QUORUM], 0.02)
        if number % 4 == 1:
            assert reply[0] == MISS, key
        else:
            assert reply[3] == (b"new" if number % 4 == 0 else key + b"v" * 20)


def test_two_of_three_restarted_empty_keep_what_the_third_has() -> None:
    cluster = FakeCluster(3)
    keys = fill(cluster, 100)
    for name in ("n2", "n3"):
        cluster.kill(name)
        cluster.restart(name)
    cluster.run(SETTLE_S + 20.0)
    lost = 0
    for name in ("n2", "n3"):
        assert not cluster.nodes[name].engine.warming
        lost += statistics(cluster, name)["memory_lost"]
        assert all(cluster.record(name, key) is not None for key in keys)
    assert lost >= 1024
    assert notes(cluster, "memory.lost")


def test_the_whole_cluster_restarted_empty_serves_again() -> None:
    cluster = FakeCluster(3)
    fill(cluster, 10)
    for name in ("n1", "n2", "n3"):
        cluster.kill(name)
        cluster.restart(name)
    cluster.run(SETTLE_S + 20.0)
    for node in cluster.nodes.values():
        assert not node.engine.warming
    assert cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])[0] == DONE
    assert cluster.ask("n2", [GET, b"key", Level.ALL])[0] == VALUE


def test_a_second_restart_while_the_first_is_being_filled() -> None:
    cluster = FakeCluster(5)
    keys = fill(cluster, 200)
    for name in ("n5", "n5"):
        cluster.kill(name)
        cluster.restart(name)
        cluster.run(SETTLE_S / 2)
    cluster.run(SETTLE_S)
    node = cluster.nodes["n5"]
    assert not node.engine.warming
    for key in keys:
        if "n5" in cluster.owners(key):
            assert cluster.record("n5", key) is not None


def test_a_gainer_is_warming_before_it_serves_anything_under_the_new_table() -> None:
    cluster = FakeCluster(4)
    keys = fill(cluster, 200)
    cluster.kill("n4")
    cluster.run(0.1)
    table = cluster.nodes["n1"].members.table
    removed = table.with_entry(cluster._entry("n4", MemberState.REMOVED))
    before = {name: cluster.nodes[name].members.placement.owned_by(name) for name in ("n1", "n2", "n3")}
    for name in ("n1", "n2", "n3"):
        cluster.nodes[name].members._set_table(removed)
        gained = cluster.nodes[name].members.placement.owned_by(name) - before[name]
        assert gained
        assert cluster.nodes[name].engine.warming == gained
    cluster.run(3.0)
    for name in ("n1", "n2", "n3"):
        assert not cluster.nodes[name].engine.warming
        assert statistics(cluster, name)["memory_lost"] == 0
        assert all(cluster.record(name, key) is not None for key in keys)


def test_a_joiner_moves_what_it_will_own_and_little_more() -> None:
    cluster = FakeCluster(4)
    keys = fill(cluster, 400, 200)
    cluster.join("n5")
    cluster.run(1.0)
    node = cluster.nodes["n5"]
    assert not node.engine.warming, "it owns nothing yet"
    node.ring.request_join()
    cluster.run(30.0)
    assert node.members.table.entries["n5"].state is MemberState.NORMAL
    owned = node.members.placement.owned_by("n5")
    figures = statistics(cluster, "n5")
    assert figures["filled_from_displaced"] == figures["partitions_filled"] == len(owned)
    held = [(key, cluster.record("n5", key)) for key in keys if cluster.partition(key) in owned]
    ideal = sum(len(key) + len(record or b"") for key, record in held)
    assert all(record is not None for _, record in held)
    assert ideal <= figures["bytes_in"] < 1.1 * ideal


def test_a_leaver_hands_its_partitions_over() -> None:
    cluster = FakeCluster(5)
    keys = fill(cluster, 200, 200)
    cluster.nodes["n5"].ring.request_leave()
    cluster.run(40.0)
    table = cluster.nodes["n1"].members.table
    assert table.entries["n5"].state is MemberState.LEFT
    placement = cluster.nodes["n1"].members.placement
    for key in keys:
        for name in placement.owners(cluster.partition(key)):
            assert cluster.record(name, key) is not None
    figures = [statistics(cluster, name) for name in ("n1", "n2", "n3", "n4")]
    assert sum(each["memory_lost"] for each in figures) == 0
    assert all(each["filled_from_displaced"] == each["partitions_filled"] > 0 for each in figures)
