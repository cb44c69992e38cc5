"""Fills: a value loaded after a miss is stored only if nothing happened to the key since the miss."""

from typing import Any

import pytest

from dynacache.config import Config, CoordinationConfig
from dynacache.coordination.fills import fill_token, may_fill, parse_fill
from dynacache.errors import InvalidContext, InvalidRequest
from dynacache.types import Level, MissReason
from dynacache.wire.epoch_names import FLUSH, PATTERN, TAG
from dynacache.wire.messages import DELETE, DONE, ERROR, FLAG_METADATA, GET, INVALIDATE, MISS, SET, VALUE
from tests.fake_cluster import FakeCluster

RAW = 1


def miss(cluster: FakeCluster, name: str, key: bytes, level: int = Level.QUORUM) -> bytes:
    reply = cluster.ask(name, [GET, key, level, 0, FLAG_METADATA])
    assert reply[0] == MISS
    return bytes(reply[3]["f"])


def fill(cluster: FakeCluster, name: str, key: bytes, token: bytes, *tags: bytes, level: int = Level.QUORUM) -> Any:
    return cluster.ask(name, [SET, key, RAW, b"loaded", level, 900, 0, 0, 0, None, None, list(tags), token], 1.0)


def shown(cluster: FakeCluster, name: str, key: bytes = b"k") -> bytes | None:
    reply = cluster.ask(name, [GET, key, Level.QUORUM])
    assert reply[0] in (VALUE, MISS)
    return reply[3] if reply[0] == VALUE else None


def test_a_fill_is_stored_when_nothing_happened() -> None:
    cluster = FakeCluster(3)
    token = miss(cluster, "n1", b"k")
    assert fill(cluster, "n2", b"k", token, b"t")[:1] == [DONE]
    assert [shown(cluster, name) for name in ("n1", "n2", "n3")] == [b"loaded"] * 3
    reply = cluster.ask("n3", [GET, b"k", Level.QUORUM, 0, FLAG_METADATA])
    assert reply[4]["g"] == [b"t"]
    assert "f" not in reply[4]


def test_a_fill_after_a_delete_is_stored_too() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"k", RAW, b"old", Level.QUORUM])
    cluster.ask("n1", [DELETE, b"k", Level.QUORUM])
    token = miss(cluster, "n2", b"k")
    assert fill(cluster, "n3", b"k", token)[2] is True
    assert shown(cluster, "n1") == b"loaded"


@pytest.mark.parametrize(
    "after",
    [
        [SET, b"k", RAW, b"newer", Level.QUORUM],
        [DELETE, b"k", Level.QUORUM],
        [INVALIDATE, TAG, b"", b"t", Level.QUORUM],
        [INVALIDATE, PATTERN, b"", b"k*", Level.QUORUM],
        [INVALIDATE, FLUSH, b"", b"", Level.QUORUM],
        [INVALIDATE, FLUSH, b"", b"", Level.QUORUM, 0, False],
    ],
)
@pytest.mark.parametrize("wait_s", [0.2, 3.0])
def test_a_fill_that_was_begun_before_something_happened_is_refused(after: list[Any], wait_s: float) -> None:
    cluster = FakeCluster(3)
    token = miss(cluster, "n1", b"k")
    cluster.run(0.01)
    assert cluster.ask("n2", list(after), wait_s)[0] == DONE
    assert fill(cluster, "n3", b"k", token, b"t")[2] is False
    assert shown(cluster, "n1") == (b"newer" if after[0] == SET else None)
    cluster.run(1.0)
    if after[0] != SET:
        token = miss(cluster, "n1", b"k")
        assert fill(cluster, "n3", b"k", token, b"t")[2] is True, "the next one is begun after it"
        assert shown(cluster, "n2") == b"loaded"


@pytest.mark.parametrize(
    "after", [[DELETE, b"k", Level.ONE], [SET, b"k", RAW, b"newer", Level.ONE], [INVALIDATE, TAG, b"", b"t", Level.ONE]]
)
def test_a_slow_fill_on_the_other_side_of_a_cut_dies_when_the_two_meet(after: list[Any]) -> None:
    cluster = FakeCluster(3)
    token = miss(cluster, "n1", b"k")
    cluster.run(1.0)
    for other in ("n2", "n3"):
        cluster.cut_link("n1", other)
    assert cluster.ask("n2", list(after))[0] == DONE
    assert fill(cluster, "n1", b"k", token, b"t", level=Level.ONE)[2] is True, "n1 cannot know"
    assert cluster.ask("n1", [GET, b"k", Level.ONE])[0] == VALUE
    cluster.heal()
    cluster.run(20.0)
    for name in cluster.nodes:
        assert shown(cluster, name) == (b"newer" if after[0] == SET else None)
    if after[0] == INVALIDATE:
        assert cluster.holders(b"k") == [], "nobody holds it any more"


def test_a_token_grows_old_and_is_bound_to_its_key() -> None:
    cluster = FakeCluster(3, Config(coordination=CoordinationConfig(fill_lifetime_ms=2_000)))
    token = miss(cluster, "n1", b"k")
    assert fill(cluster, "n1", b"other", token)[:1] == [ERROR]
    assert cluster.ask("n1", [SET, b"k", RAW, b"x", 2, 0, 0, 0, 1, None, None, None, token])[2] == InvalidRequest.code
    cluster.run(3.0)
    assert fill(cluster, "n1", b"k", token)[2] is False


def test_a_token_of_the_future_is_refused() -> None:
    cluster = FakeCluster(1, copies=1)
    shared = cluster.nodes["n1"].shared
    token = fill_token(shared, b"k", None)
    read = parse_fill(shared, b"k", token)
    assert may_fill(shared, 0, b"k", read, (), None, 0)
    assert not may_fill(shared, 0, b"k", read, (), None, read.time), "something newer was evicted elsewhere"
    shared.clock.last -= 10_000 << 16
    with pytest.raises(InvalidContext, match="ahead"):
        parse_fill(shared, b"k", token)


def test_an_invalidated_value_is_a_miss_for_that_reason() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"k", RAW, b"v", Level.ALL, 0, 0, 0, 0, None, None, [b"t"]])
    cluster.run(1.0)
    assert cluster.ask("n2", [INVALIDATE, TAG, b"", b"t", Level.QUORUM])[0] == DONE
    for name in cluster.nodes:
        for level in (Level.ONE, Level.QUORUM, Level.ALL):
            assert cluster.ask(name, [GET, b"k", level])[2] == MissReason.INVALIDATED
