"""Touch digests: what one owner reads counts as used at the others, within limits, and nowhere else."""

from typing import Any

import attrs
import pytest
from pyroaring import BitMap

from dynacache.coordination.touch_digests import (
    DIGEST_LIMIT_COUNT,
    INTERVAL_S,
    PACKED_LIMIT_BYTES,
    PARTITION_LIMIT_COUNT,
    TouchDigests,
)
from dynacache.placement.partitions import key_hash
from dynacache.types import Level
from dynacache.wire.messages import DONE, GET, SET, TOUCHED, VALUE
from tests.fake_cluster import FakeCluster

RAW = 1


@attrs.define
class FakeStore:
    """Reads to be told of, and what was told."""

    reads: list[tuple[bytes, set[int]]] = attrs.field(factory=list)
    touched: list[tuple[bytes, list[int]]] = attrs.field(factory=list)

    def take_touched(self) -> list[tuple[bytes, set[int]]]:
        reads, self.reads = self.reads, []
        return reads

    def touch(self, prefix: bytes, hashes: Any) -> None:
        self.touched.append((prefix, list(hashes)))


def uses(cluster: FakeCluster, name: str, key: bytes) -> int:
    policy = cluster.nodes[name].engine._policy
    return policy.cells[key_hash(key) & policy.mask] & 0x7F


def test_what_one_replica_reads_is_used_at_the_others() -> None:
    cluster = FakeCluster(3)
    cluster.run(3.0)
    keys = [b"key:%d" % number for number in range(40)]
    for key in keys:
        assert cluster.ask("n1", [SET, key, RAW, b"value", Level.ALL])[0] == DONE
    for node in cluster.nodes.values():
        node.engine.take_touched()
    before = {name: sum(uses(cluster, name, key) for key in keys) for name in cluster.nodes}
    for _ in range(8):
        for key in keys:
            partition = key_hash(key) >> cluster.nodes["n1"].shared.partition_shift
            assert cluster.nodes["n1"].engine.get(partition, key, 0) is not None
    cluster.run(INTERVAL_S + 1.0)
    for name in ("n2", "n3"):
        assert sum(uses(cluster, name, key) for key in keys) >= before[name] + 10
        assert cluster.nodes[name].statistics()["touch_digests_received"] == 1
    sent = cluster.nodes["n1"].statistics()
    assert sent["touch_digests_sent"] == 2
    cluster.run(3 * INTERVAL_S)
    assert cluster.nodes["n1"].statistics()["touch_digests_sent"] == 2, "nothing is sent while nothing is read"
    assert cluster.nodes["n2"].statistics()["touch_digests_sent"] == 0, "what others told of is not passed on"
    assert cluster.ask("n1", [GET, keys[0], Level.ONE])[0] == VALUE


def digests_of(cluster: FakeCluster) -> tuple[TouchDigests, FakeStore]:
    node, store = cluster.nodes["n1"], FakeStore()
    digests = TouchDigests(node.shared, store, lambda: node.members.placement)
    node.shared.effects.sends.clear()
    return digests, store


def test_a_digest_is_bounded_by_partition_and_goes_to_owners_alone() -> None:
    cluster = FakeCluster(3)
    cluster.run(3.0)
    digests, store = digests_of(cluster)
    shared = cluster.nodes["n1"].shared
    store.reads = [(b"", set(range(PARTITION_LIMIT_COUNT + 500))), (b"\x00\x01a", {7 << shared.partition_shift})]
    digests.tick()
    assert store.reads, "not before its time"
    shared.now_s += INTERVAL_S
    digests.tick()
    messages = [message for sent in shared.effects.sends.values() for message in sent if message[0] == TOUCHED]
    assert len(messages) == 2
    for message in messages:
        assert message[1:4] == (0, shared.clock.last, shared.digest)
        first, hashes, second, others = message[4]
        assert (first, second) == (b"", b"\x00\x01a")
        assert BitMap.deserialize(hashes) == BitMap(range(PARTITION_LIMIT_COUNT))
        assert list(BitMap.deserialize(others)) == [7 << shared.partition_shift]
    digests._touched(1, "n2", messages[0])
    assert store.touched == [(b"", list(range(PARTITION_LIMIT_COUNT))), (b"\x00\x01a", [7 << shared.partition_shift])]


def test_a_digest_is_bounded_in_all() -> None:
    cluster = FakeCluster(3)
    cluster.run(3.0)
    digests, store = digests_of(cluster)
    shared = cluster.nodes["n1"].shared
    step = (1 << 32) // (DIGEST_LIMIT_COUNT + 1_000)
    store.reads = [(b"", {number * step for number in range(DIGEST_LIMIT_COUNT + 1_000)})]
    shared.now_s += INTERVAL_S
    digests.tick()
    messages = [message for sent in shared.effects.sends.values() for message in sent if message[0] == TOUCHED]
    assert {len(BitMap.deserialize(message[4][1])) for message in messages} == {DIGEST_LIMIT_COUNT}
    assert all(len(message[4][1]) <= PACKED_LIMIT_BYTES for message in messages)


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [b""],
        [b"", "text"],
        [b"", b"no bitmap"],
        [b"", bytes(PACKED_LIMIT_BYTES + 1)],
        [b"", BitMap(range(DIGEST_LIMIT_COUNT + 1)).serialize()],
    ],
)
def test_a_malformed_digest_is_refused(fields: object) -> None:
    digests, store = digests_of(FakeCluster(1))
    with pytest.raises((ValueError, TypeError)):
        digests._touched(1, "n2", (TOUCHED, 0, 0, 0, fields))
    assert not store.touched
