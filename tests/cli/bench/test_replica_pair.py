"""The pair of replicas: what is written at one reaches the other by exchanges alone, and every byte is counted."""

from dynacache.cli.bench.replica_pair import SKEW_MS, ReplicaPair
from dynacache.wire.messages import COMPARE, COMPARED, RECORDS


def test_a_missed_write_arrives_and_is_counted() -> None:
    pair = ReplicaPair(64 << 20)
    for number in range(200):
        pair.write_both(b"key %d" % number, b"value")
    pair.run(60)
    assert pair.equal()
    first, second = pair.replicas
    assert second.now_ms - first.now_ms == SKEW_MS
    pair.forget()
    assert (pair.message_bytes, pair.cpu_s) == (0, 0)
    partition, record = first.write(b"key 7", b"another")
    assert not pair.equal()
    pair.run(60)
    assert pair.equal()
    assert second.engine.peek(partition, b"key 7") is not None
    assert pair.messages[RECORDS] == 1
    assert pair.record_bytes == len(b"key 7") + len(record)
    assert pair.message_bytes > pair.record_bytes
    assert pair.cpu_s > 0
    assert pair.total("exchanges") > 0


def test_at_rest_there_is_one_pair_of_messages_an_exchange() -> None:
    pair = ReplicaPair(64 << 20)
    pair.write_both(b"key", b"value")
    pair.run(60)
    pair.forget()
    before = pair.total("exchanges")
    pair.run(100)
    exchanges = pair.total("exchanges") - before
    assert exchanges >= 8
    assert dict(pair.messages) == {COMPARE: exchanges, COMPARED: exchanges}


def test_what_expires_goes_from_both() -> None:
    pair = ReplicaPair(64 << 20)
    for number in range(100):
        pair.write_both(b"key %d" % number, b"value", ttl_ms=5_000)
    pair.run(30)
    assert [replica.engine.statistics().entries for replica in pair.replicas] == [0, 0]
    assert pair.total("differences") == 0


def test_an_older_record_is_not_taken_after_its_successor_was_evicted() -> None:
    pair = ReplicaPair(64 << 20)
    first, second = pair.replicas
    partition, old = first.write(b"key", b"old")
    assert second.fresh(partition, b"key", old) == old
    second.take(partition, b"key", old)
    assert second.fresh(partition, b"key", old) == old
