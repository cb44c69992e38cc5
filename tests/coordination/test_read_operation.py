"""Reads that need more than a comparison: differences, evictions, incomplete memory, silence, monotonic reads."""

import pytest

from dynacache.coordination.read_batch import ReadBatch
from dynacache.coordination.read_operation import ReadOperation
from dynacache.errors import NotEnoughReplicas, TimedOut
from dynacache.placement.partitions import key_hash
from dynacache.placement.table import MemberState
from dynacache.types import Level, MissReason
from dynacache.wire.messages import (
    DELETE,
    DONE,
    ERROR,
    FLAG_METADATA,
    FLAG_NO_PAYLOAD,
    FLAG_RECEIPT,
    FLAG_SIBLINGS,
    GET,
    MISS,
    SET,
    VALUE,
)
from tests.fake_cluster import FakeCluster

RAW = 1


def _write_at(cluster: FakeCluster, name: str, key: bytes, value: bytes) -> None:
    """Give one node alone a version: the others are cut off for the moment, and the hints are thrown away."""
    others = [other for other in cluster.nodes if other != name]
    for other in others:
        cluster.cut_link(name, other)
    assert cluster.ask(name, [SET, key, RAW, value, Level.ONE, 50])[0] == DONE
    hints = cluster.nodes[name].hints
    for target, hinted, _ in list(hints.items()):
        hints.remove(target, hinted)
    cluster.heal()
    cluster.run(0.05)


def test_a_quorum_read_returns_the_newest_and_repairs_the_older_before_it_answers() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"old", Level.ALL])
    _write_at(cluster, "n2", b"key", b"new")
    assert cluster.ask("n2", [GET, b"key", Level.QUORUM])[3] == b"new"
    newest = [name for name in cluster.nodes if cluster.ask(name, [GET, b"key", Level.ONE])[3] == b"new"]
    assert len(newest) >= 2, "a write quorum holds what a quorum read returned"


def test_quorum_reads_never_go_back() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"old", Level.ALL])
    _write_at(cluster, "n2", b"key", b"new")
    seen = [cluster.ask(name, [GET, b"key", Level.QUORUM])[3] for name in ("n2", "n1", "n3", "n1", "n3")]
    assert seen == [b"new"] * 5


def test_concurrent_writes_are_siblings_with_one_winner_everywhere() -> None:
    cluster = FakeCluster(3)
    _write_at(cluster, "n1", b"key", b"first")
    _write_at(cluster, "n2", b"key", b"second")
    replies = [cluster.ask(name, [GET, b"key", Level.ALL, 0, FLAG_SIBLINGS]) for name in cluster.nodes]
    assert {reply[3] for reply in replies} == {b"second"}
    assert all([each[1] for each in reply[4]["s"]] == [b"first"] for reply in replies)
    assert [node.counters.conflicts_seen for node in cluster.nodes.values()] == [1, 1, 1]


def test_a_stand_in_alone_answers_no_strict_read() -> None:
    cluster = FakeCluster(3, copies=1)
    placement = cluster.nodes["n1"].members.placement
    owner, stand_in, _ = placement.preference(key_hash(b"key") >> placement.shift)
    cluster.cut_link(owner, stand_in)
    assert cluster.ask(stand_in, [SET, b"key", RAW, b"hinted", Level.QUORUM])[0] == DONE
    assert cluster.ask(owner, [SET, b"key", RAW, b"newer", Level.STRICT_QUORUM])[0] == DONE
    assert cluster.ask(stand_in, [GET, b"key", Level.QUORUM])[3] == b"hinted"
    for level in (Level.STRICT_QUORUM, Level.ALL):
        assert cluster.ask(stand_in, [GET, b"key", level])[2] == NotEnoughReplicas.code


def test_with_one_copy_a_strict_read_during_a_join_waits_until_the_new_owner_holds_it_too() -> None:
    cluster = FakeCluster(3, copies=1, repair=False)
    cluster.join("n4")
    cluster.run(0.2)
    cluster.set_state("n4", MemberState.JOINING)
    placement = cluster.nodes["n1"].members.placement
    key = next(key for key in (b"key %d" % n for n in range(99)) if placement.new(cluster.partition(key)) == ("n4",))
    (old,) = placement.owners(cluster.partition(key))
    cluster.paused = {"n4"}
    assert cluster.ask(old, [SET, key, RAW, b"value", Level.STRICT_QUORUM, 300], 0.4)[2] == TimedOut.code
    assert cluster.ask(old, [GET, key, Level.STRICT_QUORUM, 300], 0.4)[0] == ERROR
    cluster.paused = set()
    cluster.run(2.0)
    assert cluster.ask(old, [GET, key, Level.STRICT_QUORUM, 300], 0.4)[3] == b"value"
    assert cluster.record("n4", key) is not None


def test_a_miss_at_one_needs_two_answers() -> None:
    cluster = FakeCluster(3)
    _write_at(cluster, "n2", b"key", b"value")
    _write_at(cluster, "n3", b"key", b"value")
    assert cluster.ask("n1", [GET, b"key", Level.ONE])[0] == VALUE
    assert cluster.ask("n1", [GET, b"nothing", Level.ONE])[:3][2] == MissReason.NEVER_WRITTEN


def test_a_delete_is_a_miss_with_its_reason() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])
    assert cluster.ask("n1", [DELETE, b"key", Level.QUORUM])[2] is True
    for level in (Level.ONE, Level.QUORUM, Level.ALL):
        assert cluster.ask("n1", [GET, b"key", level])[2] == MissReason.DELETED


def test_an_expired_value_is_gone_at_the_same_instant_everywhere() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL, 0, 5_000])
    cluster.run(4.0)
    assert all(cluster.ask(name, [GET, b"key", Level.QUORUM], 0.01)[0] == VALUE for name in cluster.nodes)
    cluster.run(1.0)
    assert all(cluster.ask(name, [GET, b"key", Level.QUORUM])[0] == MISS for name in cluster.nodes)


def test_what_one_owner_evicted_is_read_from_the_others_and_not_poured_back() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])
    _evict(cluster, "n1", b"key")
    assert cluster.ask("n1", [GET, b"key", Level.QUORUM])[3] == b"value"
    assert "n1" not in cluster.holders(b"key")


def test_a_version_older_than_an_evicted_one_is_not_returned() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"old", Level.ALL])
    _write_at(cluster, "n1", b"key", b"new")
    _evict(cluster, "n1", b"key")
    reply = cluster.ask("n1", [GET, b"key", Level.QUORUM])
    assert (reply[0], reply[2]) == (MISS, MissReason.EVICTED)


def test_everything_evicted_is_a_miss_that_says_so() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])
    for name in cluster.nodes:
        _evict(cluster, name, b"key")
    assert cluster.ask("n1", [GET, b"key", Level.QUORUM])[2] == MissReason.EVICTED


def test_a_node_with_incomplete_memory_says_unknown_and_is_filled_by_reads() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])
    cluster.kill("n3")
    cluster.restart("n3")
    cluster.run(0.1)
    assert len(cluster.nodes["n3"].engine.warming) == 1024
    assert cluster.ask("n3", [GET, b"key", Level.QUORUM])[3] == b"value"
    assert "n3" in cluster.holders(b"key")
    assert cluster.ask("n3", [GET, b"nothing", Level.QUORUM])[2] == MissReason.NEVER_WRITTEN, "two others know"


@pytest.mark.parametrize("level", [Level.STRICT_QUORUM, Level.ALL])
def test_a_read_that_cannot_reach_its_level_still_fills_a_node_that_lost_its_memory(level: int) -> None:
    """Found by the simulator, seed 21: nothing ever brought such a node the value."""
    cluster = FakeCluster(2, repair=False)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])
    cluster.kill("n2")
    cluster.restart("n2")
    cluster.run(2.0)
    assert cluster.record("n2", b"key") is None
    assert cluster.ask("n1", [GET, b"key", level])[2] == NotEnoughReplicas.code
    assert cluster.record("n2", b"key") is not None
    assert cluster.ask("n1", [GET, b"key", level])[2] == NotEnoughReplicas.code, "it is data, but does not count"
    cluster.nodes["n2"].engine.warming.clear()
    assert cluster.ask("n1", [GET, b"key", level])[3] == b"value"


@pytest.mark.parametrize("asked", ["n1", "n2"])
def test_what_a_copy_that_is_being_filled_has_found_is_returned_but_does_not_count(asked: str) -> None:
    cluster = FakeCluster(2, repair=False)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])
    cluster.nodes["n2"].engine.warming.update(range(1024))
    reply = cluster.ask(asked, [GET, b"key", Level.QUORUM, 0, FLAG_RECEIPT])
    assert reply[3] == b"value"
    assert reply[4]["r"]["degraded"] is True
    assert cluster.ask(asked, [GET, b"key", Level.QUORUM])[3] == b"value"
    assert cluster.ask(asked, [GET, b"key", Level.STRICT_QUORUM])[2] == NotEnoughReplicas.code
    assert cluster.ask(asked, [GET, b"key", Level.ONE])[3] == b"value"


def test_what_a_copy_that_is_being_filled_knows_more_is_merged_and_spread() -> None:
    cluster = FakeCluster(3, repair=False)
    cluster.ask("n1", [SET, b"key", RAW, b"old", Level.ALL])
    _write_at(cluster, "n3", b"key", b"new")
    cluster.nodes["n3"].engine.warming.update(range(1024))
    assert cluster.ask("n3", [GET, b"key", Level.STRICT_QUORUM])[3] == b"new"
    cluster.run(0.1)
    assert all((cluster.record(name, b"key") or b"").endswith(b"new") for name in cluster.nodes)


def _stale(cluster: FakeCluster, *names: str) -> None:
    """Let copies be stale, and everything that was written before be older than what a stale copy may believe in."""
    cluster.run(3.0)
    for name in names:
        cluster.nodes[name].engine.stale.update(range(1024))
    for node in cluster.nodes.values():
        node.shared.stale_after_ms = 2_000


@pytest.mark.parametrize("level", [Level.ONE, Level.QUORUM, Level.STRICT_QUORUM, Level.ALL])
@pytest.mark.parametrize("asked", ["n1", "n3"])
def test_a_stale_copy_does_not_bring_back_what_was_deleted_and_forgotten(level: int, asked: str) -> None:
    cluster = FakeCluster(3, repair=False)
    _write_at(cluster, "n3", b"key", b"zombie")
    _stale(cluster, "n3")
    reply = cluster.ask(asked, [GET, b"key", level, 300], 0.5)
    assert reply[0] == (ERROR if level == Level.ALL else MISS)
    assert cluster.holders(b"key") == ["n3"]


def test_what_a_stale_copy_took_lately_is_believed() -> None:
    cluster = FakeCluster(3, repair=False)
    _stale(cluster, "n3")
    _write_at(cluster, "n3", b"key", b"young")
    assert cluster.ask("n1", [GET, b"key", Level.ALL])[2] == NotEnoughReplicas.code
    cluster.run(0.1)
    assert cluster.ask("n1", [GET, b"key", Level.STRICT_QUORUM])[3] == b"young"


def test_where_all_copies_are_stale_a_read_has_what_they_hold_and_says_so() -> None:
    cluster = FakeCluster(3, repair=False)
    _write_at(cluster, "n3", b"key", b"value")
    _stale(cluster, "n1", "n2", "n3")
    reply = cluster.ask("n1", [GET, b"key", Level.QUORUM, 0, FLAG_RECEIPT])
    assert (reply[3], reply[4]["r"]["degraded"]) == (b"value", True)
    assert cluster.holders(b"key") == ["n3"], "nobody takes it from a stale copy alone"
    assert cluster.ask("n1", [GET, b"nothing", Level.QUORUM])[2] == MissReason.UNKNOWN


def test_a_read_under_which_the_owners_change_begins_again() -> None:
    cluster = FakeCluster(4)
    cluster.join("n5")
    cluster.run(0.2)
    keys = [b"key %d" % number for number in range(40)]
    for key in keys:
        assert cluster.ask("n1", [SET, key, RAW, b"value", Level.ALL], 0.01)[0] == DONE
    cluster.set_state("n5", MemberState.SETTLING, known_to=("n2", "n3", "n4", "n5"))
    replies = cluster.ask_many("n1", [[GET, key, Level.STRICT_QUORUM] for key in keys], 0.2)
    assert {reply[0] for reply in replies} == {VALUE}
    assert cluster.nodes["n1"].members.placement.in_transition


def test_misses_are_remembered_with_who_answered_what() -> None:
    cluster = FakeCluster(3)
    node = cluster.nodes["n1"]
    cluster.ask("n1", [GET, b"nothing", Level.QUORUM])
    told = node.shared.misses.last(b"nothing")
    assert told is not None
    assert told["reason"] == "never_written"
    assert sorted(told["answers"].values()) == ["absent", "absent"]
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])
    cluster.ask("n1", [DELETE, b"key", Level.ALL])
    cluster.ask("n1", [GET, b"key", Level.ALL])
    told = node.shared.misses.last(b"key")
    assert told is not None
    assert (told["reason"], told["level"]) == ("deleted", "all")
    assert set(told["answers"].values()) == {"deleted or expired"}


@pytest.mark.parametrize("level", [Level.ONE, Level.QUORUM])
def test_only_unknown_answers_are_a_miss_of_reason_unknown(level: int) -> None:
    cluster = _two_restarted()
    reply = cluster.ask("n2", [GET, b"nothing", level, 300], 0.5)
    assert (reply[0], reply[2]) == (MISS, MissReason.UNKNOWN)


@pytest.mark.parametrize("level", [Level.STRICT_QUORUM, Level.ALL])
def test_only_unknown_answers_are_an_error_where_the_level_promises_more(level: int) -> None:
    cluster = _two_restarted()
    reply = cluster.ask("n2", [GET, b"nothing", level, 300], 0.5)
    assert (reply[0], reply[2]) == (ERROR, NotEnoughReplicas.code)


def test_a_silent_replica_is_hedged_within_milliseconds() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])
    cluster.paused = {"n2"}
    for _ in range(4):
        assert cluster.ask("n1", [GET, b"key", Level.QUORUM], 0.05)[0] == VALUE
    assert cluster.nodes["n1"].counters.hedged_reads > 0


def test_a_link_that_ends_sends_the_question_elsewhere_at_once() -> None:
    cluster = FakeCluster(3, delay_s=0.001)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])
    cluster.paused = {"n2"}
    cluster.nodes["n1"].asker.hedges_left = 0.0
    cluster.ask_many("n1", [[GET, b"key", Level.QUORUM] for _ in range(4)], 0.01)
    cluster.cut_link("n1", "n2")
    cluster.run(0.02)
    assert all(cluster.replies[rid][0][0] == VALUE for rid in sorted(cluster.replies)[-4:])


def test_metadata_and_receipt_say_what_the_read_knows() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL, 0, 60_000])
    flags = FLAG_METADATA | FLAG_RECEIPT | FLAG_NO_PAYLOAD
    _, _, _, payload, metadata = cluster.ask("n1", [GET, b"key", Level.QUORUM, 0, flags])
    assert payload == b""
    assert metadata["e"] - metadata["t"] == 60_000
    assert metadata["b"] <= metadata["t"]
    assert len(metadata["r"]["answered"]) >= 2
    assert metadata["r"]["coordinator"] == "n1"
    assert (metadata["r"]["degraded"], metadata["r"]["unrepaired"]) == (False, False)


def test_a_quorum_read_with_one_answer_is_degraded_and_says_so() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])
    for name in ("n2", "n3"):
        cluster.kill(name)
    reply = cluster.ask("n1", [GET, b"key", Level.QUORUM, 0, FLAG_RECEIPT])
    assert (reply[3], reply[4]["r"]["degraded"]) == (b"value", True)


def test_a_reader_who_has_seen_more_makes_the_read_widen() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"old", Level.ALL])
    _write_at(cluster, "n3", b"key", b"new")
    context = cluster.ask("n3", [GET, b"key", Level.ONE, 0, FLAG_METADATA])[4]["c"]
    assert cluster.ask("n1", [GET, b"key", Level.QUORUM, 0, 0, context])[3] == b"new"


def _two_restarted() -> FakeCluster:
    """A cluster in which too few nodes have complete memory to say that a key was never written."""
    cluster = FakeCluster(3)
    for name in ("n2", "n3"):
        cluster.kill(name)
        cluster.restart(name)
    cluster.run(0.1)
    cluster.cut_link("n1", "n2")
    cluster.run(0.01)
    return cluster


def _evict(cluster: FakeCluster, name: str, key: bytes) -> None:
    """Let memory pressure throw one key out of one node."""
    engine = cluster.nodes[name].engine
    limit_bytes = engine.statistics().limit_bytes
    engine.set_limit(engine.usage().total_bytes - 1)
    engine.collect(engine._now_ms)
    engine.set_limit(limit_bytes)
    assert name not in cluster.holders(key)


def test_a_miss_without_enough_answers_is_unknown() -> None:
    cluster = FakeCluster(3)
    cluster.cut_link("n1", "n2")
    cluster.cut_link("n1", "n3")
    for level in (Level.ONE, Level.QUORUM):
        assert cluster.ask("n1", [GET, b"key", level, 200], 0.3)[:3:2] == [MISS, MissReason.UNKNOWN]


def test_an_answer_that_comes_during_a_blocking_repair_does_not_change_the_reply() -> None:
    """n1 repairs n3 to what n1 and n3 had; n2's newer version is for the next read."""
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"old", Level.ALL])
    _write_at(cluster, "n1", b"key", b"new")
    node = cluster.nodes["n1"]
    cluster.paused = {"n2", "n3"}
    cluster.ask("n1", [GET, b"key", Level.STRICT_QUORUM, 1_000, FLAG_METADATA], 0.0)
    (batch,) = [each for each in node.shared.pending.values() if isinstance(each, ReadBatch)]
    (operation,) = batch.items
    assert isinstance(operation, ReadOperation)
    operation.repairing = True
    before = operation.merged
    operation.answered(batch.target, None)
    assert operation.merged == before
    assert not operation.done
    operation.repaired(True)
    assert cluster.nodes["n1"].shared.effects.sends, "the repair's end answers"
