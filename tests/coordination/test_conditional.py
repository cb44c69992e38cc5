"""Operations that look before they write: conditions, previous values, deletes, touches, increments."""

import attrs
import msgpack
import pytest

from dynacache.config import Config, StorageSettings
from dynacache.errors import InvalidContext, NotEnoughReplicas, NotReady, OutOfMemory, WrongType
from dynacache.types import Level, MissReason, WriteCondition
from dynacache.wire.messages import (
    DELETE,
    DONE,
    ERROR,
    FLAG_METADATA,
    FLAG_PREVIOUS,
    FLAG_RECEIPT,
    GET,
    INCREMENT,
    MISS,
    NUMBER,
    SET,
    TOUCH,
    VALUE,
)
from tests.fake_cluster import FakeCluster

RAW = 1


def _set(key: bytes, value: bytes, *, condition: int = 0, context: bytes | None = None, flags: int = 0) -> list[object]:
    return [SET, key, RAW, value, Level.QUORUM, 500, 0, flags, condition, context]


def _read(cluster: FakeCluster, name: str, key: bytes) -> object:
    reply = cluster.ask(name, [GET, key, Level.QUORUM])
    return reply[3] if reply[0] == VALUE else None


def _context(cluster: FakeCluster, name: str, key: bytes) -> bytes:
    return bytes(cluster.ask(name, [GET, key, Level.QUORUM, 0, FLAG_METADATA])[4]["c"])


def test_only_if_absent_applies_once_even_between_nodes() -> None:
    cluster = FakeCluster(3)
    replies = [
        cluster.ask(name, _set(b"key", name.encode(), condition=WriteCondition.IF_ABSENT)) for name in cluster.nodes
    ]
    assert [reply[2] for reply in replies] == [True, False, False]
    assert _read(cluster, "n3", b"key") == b"n1"


def test_only_if_present_needs_a_value() -> None:
    cluster = FakeCluster(3)
    assert cluster.ask("n1", _set(b"key", b"1", condition=WriteCondition.IF_PRESENT))[2] is False
    assert _read(cluster, "n1", b"key") is None
    cluster.ask("n1", _set(b"key", b"1"))
    assert cluster.ask("n2", _set(b"key", b"2", condition=WriteCondition.IF_PRESENT))[2] is True
    assert _read(cluster, "n3", b"key") == b"2"


def test_an_expected_version_is_met_once() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", _set(b"key", b"1"))
    context = _context(cluster, "n2", b"key")
    assert cluster.ask("n2", _set(b"key", b"2", condition=WriteCondition.IF_VERSION, context=context))[2] is True
    assert cluster.ask("n3", _set(b"key", b"3", condition=WriteCondition.IF_VERSION, context=context))[2] is False
    assert _read(cluster, "n1", b"key") == b"2"


def test_a_version_of_another_key_is_refused() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", _set(b"key", b"1"))
    context = _context(cluster, "n1", b"key")
    reply = cluster.ask("n1", _set(b"other", b"2", condition=WriteCondition.IF_VERSION, context=context))
    assert (reply[0], reply[2]) == (ERROR, InvalidContext.code)
    assert _read(cluster, "n1", b"other") is None


def test_get_and_set_returns_what_it_replaced() -> None:
    cluster = FakeCluster(3)
    first = cluster.ask("n1", _set(b"key", b"1", flags=FLAG_PREVIOUS))
    second = cluster.ask("n2", _set(b"key", b"2", flags=FLAG_PREVIOUS | FLAG_RECEIPT | FLAG_METADATA))
    assert first[3]["p"] is None
    assert second[3]["p"] == [RAW, b"1"]
    assert second[3]["r"]["coordinator"] == "n2"
    assert second[3]["c"] == _context(cluster, "n3", b"key")


def test_get_and_delete_returns_what_it_removed() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", _set(b"key", b"1"))
    reply = cluster.ask("n2", [DELETE, b"key", Level.QUORUM, 500, FLAG_PREVIOUS])
    assert (reply[2], reply[3]["p"]) == (True, [RAW, b"1"])
    assert _read(cluster, "n3", b"key") is None


def test_a_condition_that_cannot_be_read_is_refused_and_changes_nothing() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", _set(b"key", b"1"))
    cluster.paused = {"n2", "n3"}
    reply = cluster.ask("n1", _set(b"key", b"2", condition=WriteCondition.IF_PRESENT), 0.8)
    assert (reply[0], reply[2]) == (ERROR, NotEnoughReplicas.code)
    assert cluster.ask("n1", [GET, b"key", Level.ONE])[3] == b"1"


def test_a_blind_delete_at_a_coordinator_that_does_not_hold_the_key_deletes() -> None:
    """Must show 9: the coordinator lost its memory and reaches nobody in time; its tombstone competes by time."""
    cluster = FakeCluster(3)
    cluster.ask("n1", _set(b"key", b"1"))
    cluster.kill("n3")
    cluster.restart("n3")
    cluster.run(0.1)
    cluster.paused = {"n1", "n2"}
    assert "n3" not in cluster.holders(b"key")
    cluster.ask("n3", [DELETE, b"key", Level.ONE, 300], 0.5)
    cluster.paused = set()
    cluster.run(10)
    for name in cluster.nodes:
        reply = cluster.ask(name, [GET, b"key", Level.ALL])
        assert (reply[0], reply[2]) == (MISS, MissReason.DELETED)


def test_a_delete_at_a_coordinator_that_does_not_hold_the_key_reads_first() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", _set(b"key", b"1"))
    cluster.kill("n3")
    cluster.restart("n3")
    cluster.run(0.1)
    assert cluster.ask("n3", [DELETE, b"key", Level.QUORUM])[2] is True
    assert all(_read(cluster, name, b"key") is None for name in cluster.nodes)


def test_a_touch_never_undoes_a_concurrent_set() -> None:
    """Must show 9: one client sets at a node while another touches the old value elsewhere."""
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"old", Level.ALL, 0, 60_000])
    for other in ("n2", "n3"):
        cluster.cut_link("n1", other)
    assert cluster.ask("n1", [SET, b"key", RAW, b"new", Level.ONE, 100, 30_000])[2] is True
    assert cluster.ask("n2", [TOUCH, b"key", 600_000, Level.QUORUM])[2] is True
    cluster.heal()
    cluster.run(10)
    for name in cluster.nodes:
        reply = cluster.ask(name, [GET, b"key", Level.ALL, 0, FLAG_METADATA])
        assert reply[3] == b"new"
        assert reply[4]["e"] - reply[4]["t"] == 30_000, "the touch raised the old version's expiry, not the new one's"


@pytest.mark.parametrize("ttl_ms", [1_000_000, 20_000, 0], ids=["longer", "shorter", "for ever"])
def test_no_touch_ever_wins_over_a_value_set_meanwhile(ttl_ms: int) -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"old", Level.ALL, 0, 60_000])
    for other in ("n2", "n3"):
        cluster.cut_link("n1", other)
    assert cluster.ask("n1", [SET, b"key", RAW, b"new", Level.ONE, 100, 600_000])[2] is True
    assert cluster.ask("n2", [TOUCH, b"key", ttl_ms, Level.QUORUM])[2] is True
    cluster.heal()
    cluster.run(10)
    assert [cluster.ask(name, [GET, b"key", Level.ALL])[3] for name in cluster.nodes] == [b"new"] * 3


def test_a_touch_extends_shortens_and_removes_an_expiry() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL, 0, 60_000])
    before = cluster.ask("n1", [GET, b"key", Level.ALL, 0, FLAG_METADATA])[4]
    for ttl_ms in (90_000, 30_000, 0):
        assert cluster.ask("n2", [TOUCH, b"key", ttl_ms, Level.QUORUM])[2] is True
        reply = cluster.ask("n3", [GET, b"key", Level.ALL, 0, FLAG_METADATA])
        left_ms = reply[4]["e"] - before["t"]
        assert reply[3] == b"value"
        assert (reply[4]["e"] == 0) if ttl_ms == 0 else abs(left_ms - ttl_ms) < 5_000
        assert reply[4]["b"] == before["b"]


def test_a_touch_of_nothing_is_not_applied() -> None:
    cluster = FakeCluster(3)
    assert cluster.ask("n1", [TOUCH, b"key", 1_000, Level.QUORUM])[2] is False
    assert cluster.holders(b"key") == []


def test_increments_at_two_sides_of_a_cut_are_all_counted() -> None:
    cluster = FakeCluster(3)
    assert cluster.ask("n1", [INCREMENT, b"key", 10, Level.ALL])[0] == NUMBER
    for other in ("n2", "n3"):
        cluster.cut_link("n1", other)
    for _ in range(5):
        cluster.ask("n1", [INCREMENT, b"key", 1, Level.ONE, 50])
        cluster.ask("n2", [INCREMENT, b"key", 100, Level.QUORUM])
    cluster.heal()
    cluster.run(10)
    reply = cluster.ask("n3", [GET, b"key", Level.ALL])
    assert msgpack.unpackb(reply[3]) == 515


def test_an_increment_of_text_is_refused_and_changes_nothing() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", _set(b"key", b"text"))
    reply = cluster.ask("n1", [INCREMENT, b"key", 1, Level.QUORUM])
    assert (reply[0], reply[2]) == (ERROR, WrongType.code)
    assert _read(cluster, "n2", b"key") == b"text"


def test_a_retried_delete_under_one_operation_id_is_applied_once() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", _set(b"key", b"1"))
    delete = [DELETE, b"key", Level.QUORUM, 0, 0, 0, None, b"operation"]
    assert cluster.ask("n1", list(delete))[0] == DONE
    record = cluster.record("n1", b"key")
    assert cluster.ask("n1", list(delete))[0] == DONE
    assert cluster.record("n1", b"key") == record


def test_a_cut_off_replica_does_not_touch_so_what_a_dead_value_replaced_stays_dead() -> None:
    """The old value must not outlive its successor, which expires without a tombstone."""
    cluster = FakeCluster(3)
    assert cluster.ask("n1", [SET, b"key", RAW, b"old", Level.ALL, 0, 3_000])[0] == DONE
    cluster.cut_link("n1", "n3")
    cluster.cut_link("n2", "n3")
    assert cluster.ask("n1", [SET, b"key", RAW, b"new", Level.QUORUM, 100, 4_000])[0] == DONE
    for level in (Level.ONE, Level.QUORUM, Level.STRICT_QUORUM):
        reply = cluster.ask("n3", [TOUCH, b"key", 60_000, level, 300], 0.4)
        assert reply[0] == ERROR
    cluster.run(6.0)
    cluster.heal()
    assert [_read(cluster, name, b"key") for name in cluster.nodes] == [None] * 3
    cluster.run(10.0)
    assert [_read(cluster, name, b"key") for name in cluster.nodes] == [None] * 3


def test_a_touch_that_asks_for_what_is_so_already_writes_nothing_new() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", _set(b"key", b"value"))
    before = cluster.record("n2", b"key")
    assert cluster.ask("n2", [TOUCH, b"key", 0, Level.QUORUM])[2] is True
    assert cluster.record("n2", b"key") == before


def test_a_refused_delete_is_done_when_it_is_retried_under_its_operation_id() -> None:
    storage = StorageSettings(limit_bytes=16 << 20, tombstone_share=0.000001)
    cluster = FakeCluster(3, attrs.evolve(Config(), storage=storage))
    cluster.ask("n1", _set(b"key", b"value"))
    message = [DELETE, b"key", Level.QUORUM, 300, 0, 0, None, b"operation"]
    for _ in range(2):
        reply = cluster.ask("n1", list(message))
        assert (reply[0], reply[2]) == (ERROR, OutOfMemory.code), "the value is still there: not done, and said so"
        assert _read(cluster, "n1", b"key") == b"value"


def test_a_fallback_whose_owner_came_back_while_it_read_mints_nothing() -> None:
    cluster = FakeCluster(6)
    owners = cluster.owners(b"key")
    others = sorted(set(cluster.nodes) - set(owners))
    for name in others:
        for owner in owners:
            cluster.cut_link(name, owner)
    assert cluster.ask(others[0], _set(b"key", b"old"))[0] == DONE
    cluster.paused = set(others[1:])
    cluster.ask(others[0], _set(b"key", b"new", condition=WriteCondition.IF_PRESENT), 0.05)
    rid = cluster.next_rid - 1
    cluster.heal()
    cluster.paused = set()
    cluster.run(2.0)
    (reply,) = cluster.replies[rid]
    assert (reply[0], reply[2]) == (ERROR, NotReady.code)
    assert all("" not in node.hints.targets() for node in cluster.nodes.values())


def test_a_fallback_that_read_a_value_elsewhere_deletes_that_value() -> None:
    cluster = FakeCluster(6)
    owners = cluster.owners(b"key")
    first, second, third = sorted(set(cluster.nodes) - set(owners))
    for name in (first, second, third):
        for owner in owners:
            cluster.cut_link(name, owner)
    cluster.cut_link(first, second)
    cluster.cut_link(first, third)
    assert cluster.ask(second, _set(b"key", b"value"))[0] == DONE
    cluster.heal()
    for name in (first, second, third):
        for owner in owners:
            cluster.cut_link(name, owner)
    cluster.run(0.1)
    assert cluster.nodes[first].hints.find(b"key") is None
    for name in (second, third):
        assert cluster.ask(name, [GET, b"key", Level.ONE])[3] == b"value"
    receipt = cluster.ask(first, [GET, b"key", Level.QUORUM, 0, FLAG_RECEIPT])[4]["r"]
    assert sorted(receipt["answered"]) == [second, third], "the hint that was minted over is an answer too"
    assert cluster.ask(first, [DELETE, b"key", Level.QUORUM])[:3:2] == [DONE, True]
    assert _read(cluster, second, b"key") is None
    cluster.heal()
    cluster.run(10.0)
    assert [_read(cluster, name, b"key") for name in cluster.nodes] == [None] * 6


def test_a_strict_delete_at_a_copy_that_is_behind_deletes_what_a_quorum_holds() -> None:
    cluster = FakeCluster(3, repair=False)
    cluster.ask("n1", [SET, b"key", RAW, b"old", Level.STRICT_QUORUM])
    cluster.cut_link("n1", "n3")
    assert cluster.ask("n1", [SET, b"key", RAW, b"new", Level.STRICT_QUORUM])[0] == DONE
    assert cluster.ask("n3", [DELETE, b"key", Level.STRICT_QUORUM])[0] == DONE
    reply = cluster.ask("n2", [GET, b"key", Level.STRICT_QUORUM])
    assert (reply[0], reply[2]) == (MISS, MissReason.DELETED)


def test_a_delete_that_finds_the_key_evicted_wins_over_the_value_that_another_owner_still_holds() -> None:
    cluster = FakeCluster(3, repair=False)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])
    for name in ("n1", "n2"):
        while cluster.record(name, b"key") is not None:
            cluster.nodes[name].engine.evict_one()
    cluster.cut_link("n1", "n3")
    assert cluster.ask("n1", [DELETE, b"key", Level.QUORUM])[0] == DONE
    cluster.heal()
    cluster.run(10)
    for name in cluster.nodes:
        assert cluster.ask(name, [GET, b"key", Level.STRICT_QUORUM])[0] == MISS


@pytest.mark.parametrize("level", [Level.QUORUM, Level.STRICT_QUORUM])
@pytest.mark.parametrize("first", ["n1", "n3"])
def test_a_value_that_a_quorum_had_evicted_before_it_was_set_again_does_not_survive_the_delete(
    level: Level, first: str
) -> None:
    cluster = FakeCluster(3, repair=False)
    cluster.ask(first, [SET, b"key", RAW, b"old", Level.ALL])
    for name in ("n1", "n2"):
        while cluster.record(name, b"key") is not None:
            cluster.nodes[name].engine.evict_one()
    cluster.ask("n1", [SET, b"key", RAW, b"new", level])
    assert cluster.ask("n1", [DELETE, b"key", level])[0] == DONE
    assert [cluster.ask(name, [GET, b"key", level])[0] for name in cluster.nodes] == [MISS] * 3
    assert cluster.ask("n2", [SET, b"key", RAW, b"newest", level])[0] == DONE
    assert [cluster.ask(name, [GET, b"key", level])[3] for name in cluster.nodes] == [b"newest"] * 3
