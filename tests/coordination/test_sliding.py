"""A read renews a sliding life, coarsely and behind its back; nothing that ended comes back by it."""

import pytest

from dynacache.coordination.sliding import PATIENCE_S, SLIDES_LIMIT, life_of
from dynacache.namespaces.settings import NEVER_MS
from dynacache.types import Level
from dynacache.versioning.layout import HEADER
from dynacache.wire.messages import (
    COMMAND,
    DELETE,
    DONE,
    ERROR,
    FLAG_METADATA,
    FLAG_NO_PAYLOAD,
    GET,
    MISS,
    PAYLOAD_COMPRESSED,
    PAYLOAD_RAW,
    PAYLOAD_SLIDING,
    REPORTED,
    SET,
    TOUCH,
    VALUE,
)
from tests.fake_cluster import FakeCluster

TTL_MS = 8_000
KEY = b"session"


def owner(cluster: FakeCluster) -> str:
    return cluster.holders(KEY)[0]


def set_sliding(cluster: FakeCluster, value: bytes = b"v", ttl_ms: int = TTL_MS, flags: int = PAYLOAD_RAW) -> None:
    reply = cluster.ask("n1", [SET, KEY, flags | PAYLOAD_SLIDING, value, Level.ALL, 0, ttl_ms])
    assert reply[0] == DONE


def settings_of_default(cluster: FakeCluster, **options: object) -> None:
    for node in cluster.nodes.values():
        namespaces = node.shared.namespaces
        namespaces.catalogue.merge(*namespaces.change("", options, None, node.shared.clock.last))


def get(cluster: FakeCluster, level: int = Level.ONE, flags: int = 0) -> list[object]:
    reply: list[object] = cluster.ask(owner(cluster) if cluster.holders(KEY) else "n1", [GET, KEY, level, 0, flags])
    return reply


def ends_ms(cluster: FakeCluster) -> set[int]:
    records = [cluster.record(name, KEY) for name in cluster.nodes]
    return {HEADER.unpack_from(record)[6] for record in records if record is not None}


def slid(cluster: FakeCluster) -> int:
    return sum(node.counters.slid for node in cluster.nodes.values())


@pytest.mark.parametrize("level", [Level.ONE, Level.QUORUM, Level.ALL])
@pytest.mark.parametrize("flags", [0, FLAG_METADATA])
def test_a_value_that_is_read_in_time_lives_on_at_every_owner(level: int, flags: int) -> None:
    cluster = FakeCluster(3)
    set_sliding(cluster)
    for _ in range(6):
        cluster.run(5)
        assert get(cluster, level, flags)[:4] == [VALUE, cluster.next_rid - 1, PAYLOAD_RAW, b"v"]
        assert len(ends_ms(cluster)) == 1
    assert slid(cluster) == 6
    cluster.run(TTL_MS / 1000 + 1)
    assert get(cluster, level)[0] == MISS


def test_a_value_that_is_not_read_ends_when_its_life_is_over() -> None:
    cluster = FakeCluster(3)
    set_sliding(cluster)
    cluster.run(TTL_MS / 1000 + 1)
    assert get(cluster)[0] == MISS


def test_reads_within_an_eighth_of_the_life_renew_nothing() -> None:
    cluster = FakeCluster(3)
    set_sliding(cluster)
    before = ends_ms(cluster)
    for _ in range(4):
        get(cluster)
    assert slid(cluster) == 0
    assert ends_ms(cluster) == before
    for _ in range(100):
        get(cluster)  # twenty seconds of reads, fifty in each life
    assert 15 <= slid(cluster) <= 21


def test_many_reads_in_one_turn_renew_once() -> None:
    cluster = FakeCluster(3)
    set_sliding(cluster)
    cluster.run(4)
    cluster.ask_many(owner(cluster), [[GET, KEY, Level.ONE] for _ in range(50)])
    assert slid(cluster) == 1


def test_looking_at_a_value_without_reading_it_renews_nothing() -> None:
    cluster = FakeCluster(3)
    set_sliding(cluster)
    cluster.run(4)
    get(cluster, Level.QUORUM, FLAG_METADATA | FLAG_NO_PAYLOAD)
    assert slid(cluster) == 0


@pytest.mark.parametrize("ttl_ms", [0, NEVER_MS])
@pytest.mark.parametrize("condition", [0, 1])
def test_asking_for_a_sliding_life_without_a_time_to_live_is_refused(ttl_ms: int, condition: int) -> None:
    cluster = FakeCluster(3)
    reply = cluster.ask("n1", [SET, KEY, PAYLOAD_RAW | PAYLOAD_SLIDING, b"v", Level.ALL, 0, ttl_ms, 0, condition])
    assert reply[0] == ERROR
    assert "sliding: got no time to live" in str(reply)
    assert cluster.holders(KEY) == []


def test_a_namespaces_default_is_a_time_to_live_to_slide_by() -> None:
    cluster = FakeCluster(3)
    settings_of_default(cluster, default_ttl_ms=TTL_MS)
    set_sliding(cluster, ttl_ms=0)
    cluster.run(5)
    get(cluster)
    assert slid(cluster) == 1


def test_a_value_without_an_end_and_a_fixed_one_are_not_renewed() -> None:
    cluster = FakeCluster(3)
    settings_of_default(cluster, sliding=True)
    cluster.ask("n1", [SET, KEY, PAYLOAD_RAW, b"v", Level.ALL])
    record = cluster.record(owner(cluster), KEY)
    assert record is not None
    assert life_of(record) == (0, 0)
    settings_of_default(cluster, sliding=False)
    cluster.ask("n1", [SET, KEY, PAYLOAD_RAW, b"fixed", Level.ALL, 0, TTL_MS])
    cluster.run(6)
    assert get(cluster)[3] == b"fixed"
    assert slid(cluster) == 0


def test_a_conditional_write_slides_too_and_the_value_is_as_it_was_written() -> None:
    cluster = FakeCluster(3)
    flags = PAYLOAD_RAW | PAYLOAD_COMPRESSED
    reply = cluster.ask("n1", [SET, KEY, flags | PAYLOAD_SLIDING, b"v" * 9, Level.ALL, 0, TTL_MS, 0, 1])
    assert reply[:1] + reply[2:3] == [DONE, True]
    cluster.run(5)
    assert get(cluster)[2:4] == [flags, b"v" * 9]
    assert slid(cluster) == 1


def test_what_was_deleted_meanwhile_does_not_come_back() -> None:
    cluster = FakeCluster(3)
    set_sliding(cluster)
    name = owner(cluster)
    cluster.run(4)
    stale = cluster.record(name, KEY)
    assert stale is not None
    cluster.ask("n1", [DELETE, KEY, Level.ALL])
    # A read that met the value before the delete came.
    cluster.nodes[name].shared.sliding[KEY] = stale
    cluster.ask(name, [GET, b"other"])
    assert slid(cluster) == 0
    assert get(cluster, Level.ALL)[0] == MISS


def test_a_newer_value_is_not_given_the_life_of_an_older_one() -> None:
    cluster = FakeCluster(3)
    set_sliding(cluster)
    name = owner(cluster)
    cluster.run(4)
    stale = cluster.record(name, KEY)
    assert stale is not None
    cluster.ask("n1", [SET, KEY, PAYLOAD_RAW, b"new", Level.ALL, 0, 2_000])
    before = ends_ms(cluster)
    cluster.nodes[name].shared.sliding[KEY] = stale
    cluster.ask(name, [GET, b"other"])
    assert ends_ms(cluster) == before


def test_a_life_is_never_made_shorter() -> None:
    cluster = FakeCluster(3)
    set_sliding(cluster)
    cluster.run(4)
    long_ms = 100_000
    cluster.ask("n1", [TOUCH, KEY, long_ms, Level.ALL])
    before = ends_ms(cluster)
    get(cluster)
    assert ends_ms(cluster) == before
    assert slid(cluster) == 0


def test_a_read_waits_for_no_renewal_and_one_that_fails_is_left_alone_for_a_while() -> None:
    cluster = FakeCluster(3)
    set_sliding(cluster)
    name = owner(cluster)
    others = [other for other in cluster.nodes if other != name]
    cluster.run(4)
    for other in others:
        cluster.cut_link(name, other)
    assert get(cluster)[0] == VALUE
    assert slid(cluster) == 0
    node = cluster.nodes[name]
    assert list(node.slider._under_way) == [KEY]
    for _ in range(3):
        assert get(cluster)[0] == VALUE
    cluster.run(PATIENCE_S + 0.5)
    cluster.heal()
    cluster.run(1.0)
    assert get(cluster)[0] == VALUE
    assert slid(cluster) == 1
    assert not node.slider._under_way


def test_renewals_under_way_are_bounded_and_what_is_left_out_is_counted() -> None:
    cluster = FakeCluster(3)
    set_sliding(cluster)
    node = cluster.nodes[owner(cluster)]
    cluster.run(4)
    node.slider._under_way = {b"%d" % number: cluster.now_s + 100 for number in range(SLIDES_LIMIT)}
    assert get(cluster)[0] == VALUE
    assert node.counters.slides_skipped == 1
    assert slid(cluster) == 0


def test_a_namespace_makes_what_is_written_in_it_slide_up_to_its_maximum() -> None:
    cluster = FakeCluster(3)
    options = {"sliding": True, "default_ttl_ms": TTL_MS, "maximum_ttl_ms": 2 * TTL_MS}
    assert cluster.ask("n1", [COMMAND, "namespace_set", {"name": "", "options": options}], 1.0)[0] == REPORTED
    cluster.ask("n2", [SET, KEY, PAYLOAD_RAW, b"v", Level.ALL])
    for _ in range(3):
        cluster.run(5)
        assert get(cluster)[0] == VALUE
    assert slid(cluster) == 3
    cluster.ask("n2", [SET, KEY, PAYLOAD_RAW, b"v", Level.ALL, 0, 2 * TTL_MS])
    cluster.ask(
        "n1", [COMMAND, "namespace_set", {"name": "", "options": {"default_ttl_ms": 0, "maximum_ttl_ms": 3_000}}], 1.0
    )
    cluster.run(2 * TTL_MS / 1000 - 2)
    assert get(cluster)[0] == VALUE
    (end_ms,) = ends_ms(cluster)
    assert end_ms - cluster.nodes["n1"].shared.now_ms <= 3_000
