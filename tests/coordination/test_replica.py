"""The replica's side: stale senders are corrected, bad records refused by position, wrong clocks not merged."""

from typing import Any

import pytest

from dynacache.errors import ClockUnsafe, InvalidRequest, Overloaded
from dynacache.placement.partitions import fingerprint
from dynacache.types import Level, MissReason
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.versioning.context import make_context, parse_context
from dynacache.versioning.layout import encode_clock
from dynacache.wire.messages import (
    DONE,
    ERROR,
    GET,
    MISS,
    READ,
    READ_REPLY,
    SET,
    STALE_TABLE,
    TAKEN_UNCOUNTED,
    VALUE,
    WHOLE_GROUP,
    WRITE,
    WRITE_ACK,
)
from tests.fake_cluster import FakeCluster

RAW = 1


def _deliver(cluster: FakeCluster, message: list[Any]) -> list[Any]:
    """Hand a message to n2 as if n1 had sent it, and return n2's answer."""
    inbound = cluster.inbound("n2", "n1")
    effects = cluster.nodes["n2"].handle(cluster.instant("n2"), [(inbound, [message])])
    return [list(each) for each in effects.sends[inbound]]


def _clock(cluster: FakeCluster) -> int:
    return cluster.nodes["n2"].shared.clock.last


def _record(cluster: FakeCluster) -> bytes:
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])
    record = cluster.record("n3", b"key")
    assert record is not None
    return record


def test_a_sender_with_another_table_is_corrected_before_it_is_served() -> None:
    cluster = FakeCluster(3)
    record = _record(cluster)
    for message in (
        [WRITE, 9, _clock(cluster), 12345, 100, None, [b"other", record]],
        [READ, 9, _clock(cluster), 12345, 100, [b"other", None]],
    ):
        answer = _deliver(cluster, message)
        assert [each[:2] for each in answer] == [[STALE_TABLE, 9]]
    assert cluster.record("n2", b"other") is None


def test_malformed_records_are_refused_by_position() -> None:
    cluster = FakeCluster(3)
    record = _record(cluster)
    digest = cluster.nodes["n2"].shared.digest
    payload = [b"a", record, b"b", b"garbage", b"", record, b"d", record]
    ((kind, request_id, _, exceptions),) = _deliver(cluster, [WRITE, 9, _clock(cluster), digest, 100, None, payload])
    assert (kind, request_id) == (WRITE_ACK, 9)
    assert exceptions == [[1, InvalidRequest.code], [2, InvalidRequest.code]]
    assert cluster.record("n2", b"d") is not None


def test_a_message_from_the_future_is_not_merged() -> None:
    cluster = FakeCluster(3)
    record = _record(cluster)
    digest = cluster.nodes["n2"].shared.digest
    ahead = (cluster.instant("n2").wall_ms + 501) << 16
    ((_, _, _, exceptions),) = _deliver(cluster, [WRITE, 9, ahead, digest, 100, None, [b"a", record]])
    assert exceptions == [[-1, ClockUnsafe.code]]
    assert cluster.record("n2", b"a") is None
    assert _clock(cluster) < ahead


def test_a_clock_that_runs_ahead_drags_this_one_no_further_than_the_bound() -> None:
    cluster = FakeCluster(3)
    record = _record(cluster)
    digest = cluster.nodes["n2"].shared.digest
    wall_ms = cluster.instant("n2").wall_ms
    told = []
    for ahead_ms in (400, 800, 1_200):
        clock = (wall_ms + ahead_ms) << 16
        ((_, _, _, exceptions),) = _deliver(cluster, [WRITE, 9, clock, digest, 100, None, [b"a", record]])
        told.append(exceptions)
    assert told == [None, [[-1, ClockUnsafe.code]], [[-1, ClockUnsafe.code]]]
    assert _clock(cluster) >> 16 <= wall_ms + 500


def test_a_message_that_waited_too_long_is_dropped_unacknowledged() -> None:
    cluster = FakeCluster(3)
    record = _record(cluster)
    digest = cluster.nodes["n2"].shared.digest
    old = _clock(cluster) - (5_001 << 16)
    with pytest.raises(KeyError):
        _deliver(cluster, [WRITE, 9, old, digest, 100, None, [b"a", record]])
    assert cluster.record("n2", b"a") is None
    assert cluster.nodes["n2"].counters.old_messages == 1


def test_the_shortest_true_answer() -> None:
    cluster = FakeCluster(3)
    record = _record(cluster)
    digest = cluster.nodes["n2"].shared.digest
    from dynacache.versioning.packed import version_prefix

    payload = [b"key", version_prefix(record), b"key", None, b"nothing", None]
    ((kind, _, _, answers),) = _deliver(cluster, [READ, 9, _clock(cluster), digest, 100, payload])
    assert kind == READ_REPLY
    assert answers == [True, record, None]


def test_a_malformed_group_closes_the_connection_and_the_node_serves_on() -> None:
    cluster = FakeCluster(3)
    inbound = cluster.inbound("n2", "n1")
    effects = cluster.nodes["n2"].handle(cluster.instant("n2"), [(inbound, [[WRITE, 1]])])
    assert any(getattr(each, "connection", None) == inbound for each in effects.others)
    assert cluster.ask("n2", [GET, b"key", Level.ONE]) is not None


def test_a_clock_that_grew_too_long_is_refused_by_position() -> None:
    """Two copies whose clocks fit apart but not together: refused, hinted, and no node falls over them."""
    cluster = FakeCluster(3)
    actors = [{(9, base): 1 for base in range(low, low + 200)} for low in (1, 1_000)]
    records: list[bytes] = []
    for clock in actors:
        token = make_context(None, fingerprint(b"key")) + encode_clock(clock)
        context = parse_context(token, fingerprint(b"key"))
        issuer = ActorIssuer(len(records) + 50)
        records.append(packed.write(None, issuer, _clock(cluster), 0, RAW, b"value", 1, context)[1])
    digest = cluster.nodes["n2"].shared.digest
    expected: list[Any] = [None, [[0, Overloaded.code]]]
    for record, exceptions in zip(records, expected, strict=True):
        (reply,) = _deliver(cluster, [WRITE, 9, _clock(cluster), digest, 100, None, [b"key", record]])
        assert reply[3] == exceptions
    (reply,) = _deliver(cluster, [WRITE, 9, _clock(cluster), digest, 100, "n1", [b"key", records[0]]])
    assert reply[3] is None
    (reply,) = _deliver(cluster, [WRITE, 9, _clock(cluster), digest, 100, "n1", [b"key", records[1]]])
    assert reply[3] == [[0, Overloaded.code]]
    partition = cluster.partition(b"key")
    cluster.nodes["n1"].engine.put(partition, b"key", records[1])
    assert cluster.ask("n1", [GET, b"key", Level.QUORUM, 300], 1.0)[0] in (VALUE, ERROR)


def test_what_an_evicted_version_superseded_does_not_come_back() -> None:
    """Found by the simulator (seeds 70, 1147): a late hint brought an overwritten value back."""
    cluster = FakeCluster(3)
    old = _record(cluster)
    cluster.ask("n1", [SET, b"key", RAW, b"new", Level.ALL])
    engine = cluster.nodes["n2"].engine
    limit_bytes = engine.statistics().limit_bytes
    engine.set_limit(engine.usage().total_bytes - 1)
    engine.collect(cluster.instant("n2").wall_ms)
    engine.set_limit(limit_bytes)
    assert cluster.record("n2", b"key") is None
    digest = cluster.nodes["n2"].shared.digest
    ((kind, _, _, exceptions),) = _deliver(cluster, [WRITE, 9, _clock(cluster), digest, 100, None, [b"key", old]])
    assert (kind, exceptions) == (WRITE_ACK, None)
    assert cluster.record("n2", b"key") is None
    newest = cluster.record("n1", b"key")
    assert newest is not None
    _deliver(cluster, [WRITE, 10, _clock(cluster), digest, 100, None, [b"key", packed.strip_local(newest)]])
    assert cluster.record("n2", b"key") is not None


def test_what_stale_copies_take_is_named_by_position_or_as_a_whole() -> None:
    cluster = FakeCluster(3, repair=False)
    record = _record(cluster)
    node = cluster.nodes["n2"]
    node.engine.stale.add(cluster.partition(b"a"))
    digest = node.shared.digest
    payload = [b"a", record, b"b", record, b"c", b"not a record"]
    ((*_, exceptions),) = _deliver(cluster, [WRITE, 9, _clock(cluster), digest, 100, None, payload])
    assert sorted(exceptions) == [[0, TAKEN_UNCOUNTED], [2, InvalidRequest.code]]
    assert cluster.record("n2", b"a") is not None
    ((*_, exceptions),) = _deliver(cluster, [WRITE, 9, _clock(cluster), digest, 100, None, payload[:2]])
    assert exceptions == [[WHOLE_GROUP, TAKEN_UNCOUNTED]]


def test_an_incomplete_copy_answers_with_data_that_does_not_count() -> None:
    cluster = FakeCluster(3, repair=False)
    record = _record(cluster)
    node = cluster.nodes["n2"]
    message = [READ, 9, _clock(cluster), node.shared.digest, 100, [b"key", None, b"nothing", None]]
    node.engine.warming.add(cluster.partition(b"key"))
    node.engine.warming.add(cluster.partition(b"nothing"))
    ((*_, answers),) = _deliver(cluster, message)
    assert answers == [[record], False]
    node.engine.warming.clear()
    node.engine.stale.add(cluster.partition(b"key"))
    ((*_, answers),) = _deliver(cluster, message)
    assert answers == [[record, (node.shared.now_ms - node.shared.stale_after_ms) << 16], None]


def test_in_quarantine_a_replica_takes_nothing_and_knows_nothing() -> None:
    cluster = FakeCluster(3, repair=False)
    record = _record(cluster)
    node = cluster.nodes["n2"]
    node.shared.clock_safe = False
    ((*_, exceptions),) = _deliver(cluster, [WRITE, 9, _clock(cluster), node.shared.digest, 100, None, [b"a", record]])
    assert exceptions == [[WHOLE_GROUP, ClockUnsafe.code]]
    ((*_, answers),) = _deliver(cluster, [READ, 9, _clock(cluster), node.shared.digest, 100, [b"key", None]])
    assert answers == [False]
    assert cluster.record("n2", b"a") is None


def test_what_was_deleted_and_reaped_does_not_come_back() -> None:
    cluster = FakeCluster(3, repair=False)
    record = _record(cluster)
    node = cluster.nodes["n2"]
    partition = cluster.partition(b"key")
    node.engine.remove(partition, b"key")
    time = packed.HEADER.unpack_from(record)[5] + 1
    fingerprint = node.engine.fingerprint(partition, b"key")
    node.engine.witness(partition, fingerprint, 2, time, node.shared.now_ms // 1000 + 1_000, True)
    message = [WRITE, 9, _clock(cluster), node.shared.digest, 100, None, [b"key", record]]
    ((*_, exceptions),) = _deliver(cluster, message)
    assert exceptions is None, "it counts as taken: something newer was witnessed"
    assert cluster.record("n2", b"key") is None
    assert node.counters.late_versions_discarded == 1
    cluster.nodes["n1"].engine.remove(partition, b"key")
    reply = cluster.ask("n2", [GET, b"key", Level.ALL])
    assert (reply[0], reply[2]) == (MISS, MissReason.NEVER_WRITTEN), "n3's old value is superseded by what n2 remembers"


def test_siblings_that_a_merge_creates_are_counted_once() -> None:
    cluster = FakeCluster(3, repair=False)
    _record(cluster)
    node = cluster.nodes["n2"]
    other = packed.write(None, ActorIssuer(77), _clock(cluster), 0, RAW, b"other", 1)[1]
    message = [WRITE, 9, _clock(cluster), node.shared.digest, 100, None, [b"key", other]]
    for _ in range(2):
        _deliver(cluster, message)
    assert node.counters.siblings_created == 1
    assert cluster.ask("n2", [SET, b"key", RAW, b"both seen", Level.ALL])[0] == DONE
    assert node.counters.siblings_resolved == 1
