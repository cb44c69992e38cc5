"""Scans: bounded pages, no state, and whoever was there throughout is returned, whatever happens meanwhile."""

import struct
from random import Random
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynacache.config import Config
from dynacache.coordination.scan import PAGE_COUNT, PAGE_LIMIT_BYTES, _Page
from dynacache.errors import InvalidRequest, NotEnoughReplicas
from dynacache.placement.partitions import key_hash
from dynacache.types import Level
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.wire.cursors import CURSOR_LIMIT_BYTES, PAGE_LIMIT_COUNT, pack_cursor
from dynacache.wire.epoch_names import TAG
from dynacache.wire.messages import DELETE, ERROR, FLAG_ONE_PARTITION, INCREMENT, INVALIDATE, SCAN, SCANNED, SET
from dynacache.wire.patterns import compile_pattern
from tests.fake_cluster import FakeCluster


def page(cluster: FakeCluster, name: str, cursor: bytes, *rest: Any) -> tuple[bytes, list[bytes]]:
    """One page: the cursor behind it, its keys."""
    reply = cluster.ask(name, [SCAN, cursor, *(rest or (b"",))], 0.02)
    assert reply is not None
    assert reply[0] == SCANNED, reply
    assert len(reply[2]) <= CURSOR_LIMIT_BYTES
    return reply[2], reply[3]


def scan(cluster: FakeCluster, name: str, *rest: Any) -> list[bytes]:
    """All keys, from one node."""
    found: list[bytes] = []
    cursor = b""
    while True:
        cursor, keys = page(cluster, name, cursor, *rest)
        found += keys
        if not cursor:
            return found


def fill(cluster: FakeCluster, keys: list[bytes], level: int = Level.ALL) -> None:
    """Write keys with small values."""
    for start in range(0, len(keys), 100):
        cluster.ask_many("n1", [[SET, key, 0, b"v", level] for key in keys[start : start + 100]], 0.05)


def test_every_key_is_returned_once_from_any_node() -> None:
    cluster = FakeCluster(4)
    keys = [b"key:%d" % number for number in range(500)]
    fill(cluster, keys)
    for name in cluster.nodes:
        found = scan(cluster, name, b"", None, 100)
        assert sorted(found) == sorted(keys)
    assert sum(node.counters.forwarded for node in cluster.nodes.values()) > 0


def test_by_prefix_by_pattern_and_by_namespace() -> None:
    cluster = FakeCluster(1)
    keys = [b"user:1", b"user:22", b"page:1", b"\0\x04teamuser:1", b"\0\x05teamsuser:1", b"\0\0\0raw"]
    fill(cluster, keys)
    assert sorted(scan(cluster, "n1")) == [b"\0\0\0raw", b"page:1", b"user:1", b"user:22"]
    assert sorted(scan(cluster, "n1", b"user:")) == [b"user:1", b"user:22"]
    assert scan(cluster, "n1", b"", b"*:2?") == [b"user:22"]
    assert scan(cluster, "n1", b"", b"\\\0raw") == [b"\0\0\0raw"]
    assert scan(cluster, "n1", b"\0\x04team") == [b"\0\x04teamuser:1"]
    assert scan(cluster, "n1", b"\0\x05teams", b"user:?") == [b"\0\x05teamsuser:1"]


def test_what_is_deleted_or_expired_is_not_returned() -> None:
    cluster = FakeCluster()
    fill(cluster, [b"kept", b"deleted"])
    cluster.ask("n1", [INCREMENT, b"counter", 1])
    cluster.ask("n1", [INCREMENT, b"brief counter", 1, 0, 0, 700])
    cluster.ask("n1", [SET, b"brief", 0, b"v", Level.ALL, 0, 700])
    cluster.ask("n1", [DELETE, b"deleted"])
    assert sorted(scan(cluster, "n1")) == [b"brief", b"brief counter", b"counter", b"kept"]
    cluster.run(0.5)
    assert sorted(scan(cluster, "n1")) == [b"counter", b"kept"]


@pytest.mark.parametrize("pattern", [None, b"*7*"])
def test_a_large_partition_is_passed_in_pieces(pattern: bytes | None) -> None:
    record, _ = packed.write(None, ActorIssuer(1), 1 << 16, 0, 0, b"v", 1, None, False)
    random = Random(3)
    entries = {b"%08d" % random.randrange(10**8): record for _ in range(40_000)}
    match = None if pattern is None else compile_pattern(pattern)
    found: list[bytes] = []
    after: bytes | None = b""
    pieces = 0
    while after is not None:
        piece = _Page(b"", match, 500, 0, lambda _, held: held)
        after = piece.take(entries, after)
        assert len(piece.keys) <= 500
        found += piece.keys
        pieces += 1
    assert found == sorted(key for key in entries if match is None or match(key))
    assert pieces >= len(found) / 500


def test_what_is_invalidated_is_not_returned() -> None:
    cluster = FakeCluster()
    for key, tags in ((b"tagged", [b"t"]), (b"plain", None)):
        cluster.ask("n1", [SET, key, 0, b"v", Level.ALL, 0, 0, 0, 0, None, None, tags])
    cluster.ask("n2", [INVALIDATE, TAG, b"", b"t", Level.QUORUM, 900], 0.1)
    assert scan(cluster, "n3") == [b"plain"]


def test_pages_are_bounded_in_count_and_bytes() -> None:
    cluster = FakeCluster(1)
    fill(cluster, [b"%04d" % number + b"x" * 1_000 for number in range(1_500)], Level.ONE)
    assert len(page(cluster, "n1", b"", b"", None, 7)[1]) == 7
    assert len(page(cluster, "n1", b"")[1]) == PAGE_COUNT
    keys = page(cluster, "n1", b"", b"", None, PAGE_LIMIT_COUNT)[1]
    assert len(keys) == -(-PAGE_LIMIT_BYTES // 1_004)


def test_looking_marks_nothing_as_used() -> None:
    cluster = FakeCluster(1)
    fill(cluster, [b"a", b"b"], Level.ONE)
    engine = cluster.nodes["n1"].engine
    before = engine.hits, engine.misses
    assert len(scan(cluster, "n1")) == 2
    assert (engine.hits, engine.misses) == before


def test_one_partition_of_a_complete_copy_alone() -> None:
    cluster = FakeCluster()
    fill(cluster, [b"k%d" % number for number in range(200)])
    partition = cluster.partition(b"k7")
    cursor, keys = page(cluster, "n2", pack_cursor(partition), b"", None, 0, 0, FLAG_ONE_PARTITION)
    assert b"k7" in keys
    assert {cluster.partition(key) for key in keys} == {partition}
    assert cursor == pack_cursor(partition + 1)
    cluster.nodes["n2"].engine.warming.add(partition)
    reply = cluster.ask("n2", [SCAN, pack_cursor(partition), b"", None, 0, 0, FLAG_ONE_PARTITION])
    assert (reply[0], reply[2]) == (ERROR, NotEnoughReplicas.code)
    assert b"k7" in page(cluster, "n2", pack_cursor(partition))[1]


def test_a_partition_of_which_no_copy_is_complete_is_an_error() -> None:
    cluster = FakeCluster()
    fill(cluster, [b"key"])
    for node in cluster.nodes.values():
        node.engine.warming.add(3)
    reply = cluster.ask("n1", [SCAN, pack_cursor(3), b""])
    assert (reply[0], reply[2]) == (ERROR, NotEnoughReplicas.code)
    assert page(cluster, "n1", b"")[0] == pack_cursor(3)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ([SCAN], "prefix: got None"),
        ([SCAN, None, b""], "cursor: got None"),
        ([SCAN, b"x", b""], "cursor: got b'x'"),
        ([SCAN, struct.pack(">BI", 1, 1_024), b""], "got partition 1024"),
        ([SCAN, b"", "text"], "prefix: got 'text'"),
        ([SCAN, b"", b"", b""], "pattern: got 0 bytes"),
        ([SCAN, b"", b"", None, 5_000], "count: got 5000"),
        ([SCAN, b"", b"", None, 0, 90_000], "timeout_ms: got 90000"),
        ([SCAN, b"", b"", None, 0, 0, 0, 0], "got 9 fields"),
    ],
)
def test_malformed_questions_are_refused(message: list[Any], text: str) -> None:
    reply = FakeCluster(1).ask("n1", message, 0.0)
    assert (reply[0], reply[2]) == (ERROR, InvalidRequest.code)
    assert text in reply[3]


# What was there throughout is returned.


def crowded(name: str, count: int, start: int = 0) -> list[bytes]:
    """Keys that share a few partitions, numbered from a start, so that pages end within them."""
    numbers = (number for number in range(start, start + 200 * count))
    keys = (b"%b:%d" % (name.encode(), number) for number in numbers)
    return [key for key in keys if key_hash(key) >> 22 < 8][:count]


_STEPS = st.lists(
    st.sampled_from(["write", "delete", "evict", "expire", "kill", "restart", "join", "leave", "wait"]), max_size=12
)


@attrs.define
class _Trouble:
    """What happens to a cluster while it is scanned. It touches none of the keys that stay."""

    cluster: FakeCluster
    random: Random
    next_number: int = 0
    others: list[bytes] = attrs.field(factory=list)
    dead: list[str] = attrs.field(factory=list)

    def happen(self, step: str) -> None:
        """One step of trouble."""
        getattr(self, step)()

    def write(self) -> None:
        """Other keys come; dictionaries grow."""
        keys = crowded("other", 60, self.next_number)
        self.next_number += 20_000
        self.others += keys
        self.cluster.ask_many(self.anyone(), [[SET, key, 0, b"v"] for key in keys], 0.05)

    def delete(self) -> None:
        """Others go; dictionaries are rebuilt."""
        keys = self.random.sample(self.others, len(self.others) // 2)
        self.cluster.ask_many(self.anyone(), [[DELETE, key] for key in keys], 0.05)

    def evict(self) -> None:
        """Every node throws others out, in whatever order its policy has."""
        for node in self.cluster.nodes.values():
            for key in self.random.sample(self.others, len(self.others) // 3):
                node.engine.remove(self.cluster.partition(key), key)

    def expire(self) -> None:
        """What expires in a second is written."""
        self.cluster.ask_many(self.anyone(), [[SET, key, 0, b"v", 0, 0, 500] for key in crowded("brief", 20)], 0.05)

    def kill(self) -> None:
        """One node dies, of five."""
        if not self.dead:
            self.dead.append(self.random.choice(sorted(self.cluster.nodes)))
            self.cluster.kill(self.dead[0])

    def restart(self) -> None:
        """It comes back with an empty memory."""
        if self.dead:
            self.cluster.restart(self.dead.pop())

    def join(self) -> None:
        """One more node becomes an owner."""
        if "n9" not in self.cluster.nodes and not self.dead:
            self.cluster.join("n9")
            self.cluster.run(0.5)
            self.cluster.ask("n9", [50, "join", {"node": "n9"}])

    def leave(self) -> None:
        """The one that joined leaves again."""
        if "n9" in self.cluster.nodes and not self.dead:
            self.cluster.ask("n9", [50, "leave", {"node": "n9"}])

    def wait(self) -> None:
        """Things settle for a while."""
        self.cluster.run(3.0)

    def anyone(self) -> str:
        """A node that is up."""
        return self.random.choice(sorted(self.cluster.nodes))


@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), steps=_STEPS)
def test_who_was_there_throughout_is_returned(seed: int, steps: list[str]) -> None:
    config = attrs.evolve(Config(), coordination=attrs.evolve(Config().coordination, read_timeout_ms=500))
    cluster = FakeCluster(5, config)
    staying = set(crowded("stays", 100))
    fill(cluster, Random(seed).sample(sorted(staying), len(staying)))
    trouble = _Trouble(cluster, Random(seed))
    found: list[bytes] = []
    left = list(steps)
    cursor, asked = b"", 0
    while True:
        asked += 1
        assert asked < 3_000, "the scan does not end"
        reply = cluster.ask(trouble.anyone(), [SCAN, cursor, b"", None, 7], 0.02)
        if reply is None or reply[0] == ERROR:
            cluster.run(1.0)
            continue
        cursor = reply[2]
        found += reply[3]
        if not cursor:
            break
        if left and trouble.random.random() < 0.4:
            trouble.happen(left.pop())
    assert staying <= set(found)
    assert len(found) == len(set(found))
    assert all(key.split(b":")[0] in (b"stays", b"other", b"brief") for key in found)
