"""Key events: numbering and bounds of a queue, long polls, and in whole nodes: every change told once, and by whom."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.config import Config
from dynacache.config.observability import ObservabilityConfig
from dynacache.coordination.key_events import (
    BATCH_LIMIT_COUNT,
    EVENT_BYTES,
    IDLE_LIMIT_S,
    QUEUE_LIMIT_BYTES,
    QUEUE_LIMIT_COUNT,
    SUBSCRIPTIONS_LIMIT,
    Subscription,
)
from dynacache.errors import InvalidRequest, Overloaded
from dynacache.events import Disconnected
from dynacache.types import KeyChange
from dynacache.wire.messages import (
    COMMAND,
    DELETE,
    ERROR,
    EVENTS,
    HAPPENED,
    INCREMENT,
    SET,
    SUBSCRIBE,
    SUBSCRIBED,
    TOUCH,
)
from tests.fake_cluster import CLIENT, FakeCluster

SWITCHED_ON = Config(observability=ObservabilityConfig(key_events=True))


def watched(config: Config = SWITCHED_ON, prefix: bytes = b"", changes: int = 15) -> tuple[FakeCluster, dict[str, int]]:
    """A cluster, and a subscription at every node."""
    cluster = FakeCluster(config=config)
    numbers = {}
    for name in cluster.nodes:
        reply = cluster.ask(name, [SUBSCRIBE, prefix, changes], 0.0)
        assert reply[0] == SUBSCRIBED
        numbers[name] = reply[2]
    return cluster, numbers


def told(cluster: FakeCluster, numbers: dict[str, int]) -> list[tuple[str, KeyChange, bytes]]:
    """What every node has to tell by now, and nobody has taken."""
    found = []
    for name, number in numbers.items():
        reply = cluster.ask(name, [EVENTS, number, 0, 0], 0.0)
        assert reply[0] == HAPPENED
        assert reply[3] == 0
        laid = reply[4]
        found += [(name, KeyChange(laid[at]), laid[at + 1]) for at in range(0, len(laid), 3)]
    return found


# The queue of one subscriber.


@given(st.lists(st.one_of(st.integers(1, 200), st.none()), max_size=8))
def test_numbers_and_losses_add_up(steps: list[int | None]) -> None:
    """However adding, taking and losing alternate, what is sent and what is told as lost is all there was, in order."""
    subscription = Subscription(b"", 15)
    added = seen = lost_total = 0
    for step in steps:
        if step is not None:
            for _ in range(step * 60):
                added += 1
                subscription.add((1, b"%d" % added, 0))
            continue
        last, lost, laid = subscription.batch()
        numbers = [int(key) for key in laid[1::3]]
        assert numbers == list(range(seen + lost + 1, last + 1))
        assert subscription.batch() == (last, lost, laid)
        subscription.took(last)
        lost_total += lost
        seen = last
    assert lost_total >= 0
    assert subscription.last == added


def test_a_queue_is_bounded_by_count_and_by_bytes() -> None:
    short, long = Subscription(b"", 15), Subscription(b"", 15)
    for number in range(QUEUE_LIMIT_COUNT + 10):
        short.add((1, b"k", number))
    assert short.batch()[1] == 10
    assert len(short.batch()[2]) == 3 * BATCH_LIMIT_COUNT
    for number in range(4_000):
        long.add((1, b"x" * 1_000, number))
    kept = QUEUE_LIMIT_BYTES // (1_000 + EVENT_BYTES)
    assert long.batch()[1] == 4_000 - kept


def test_what_was_never_sent_cannot_be_taken() -> None:
    subscription = Subscription(b"", 15)
    subscription.add((1, b"k", 0))
    subscription.took(1)
    for number in (0, 2):
        with pytest.raises(InvalidRequest, match="got the number"):
            subscription.took(number)


# In whole nodes.


def test_sets_and_deletes_are_told_once_by_their_coordinator() -> None:
    cluster, numbers = watched()
    cluster.ask("n1", [SET, b"a", 0, b"v"])
    cluster.ask("n2", [SET, b"a", 0, b"w", 0, 0, 0, 0, 2])
    cluster.ask("n3", [INCREMENT, b"counter", 5])
    cluster.ask("n2", [TOUCH, b"a", 60_000])
    cluster.ask("n3", [DELETE, b"a"])
    cluster.ask("n1", [DELETE, b"never written"])
    assert told(cluster, numbers) == [
        ("n1", KeyChange.SET, b"a"),
        ("n2", KeyChange.SET, b"a"),
        ("n3", KeyChange.SET, b"counter"),
        ("n3", KeyChange.DELETE, b"a"),
    ]


def test_a_retried_write_is_told_once_and_a_refused_one_not_at_all() -> None:
    cluster, numbers = watched()
    for _ in range(2):
        cluster.ask("n1", [SET, b"a", 0, b"v", 0, 0, 0, 0, 0, None, b"operation"])
    assert cluster.ask("n1", [SET, b"a", 0, b"w", 0, 0, 0, 0, 1])[2] is False
    assert told(cluster, numbers) == [("n1", KeyChange.SET, b"a")]


def test_only_what_was_asked_for_is_told() -> None:
    cluster, numbers = watched(prefix=b"user:", changes=int(KeyChange.DELETE))
    cluster.ask("n1", [SET, b"user:1", 0, b"v"])
    cluster.ask("n1", [SET, b"other", 0, b"v"])
    cluster.ask("n1", [DELETE, b"user:1"])
    cluster.ask("n1", [DELETE, b"other"])
    assert told(cluster, numbers) == [("n1", KeyChange.DELETE, b"user:1")]


def test_without_a_prefix_other_namespaces_are_not_told() -> None:
    cluster, numbers = watched()
    for key in (b"\0\x04teamkey", b"\0\0\0own", b"plain"):
        cluster.ask("n1", [SET, key, 0, b"v"])
    assert [key for _, _, key in told(cluster, numbers)] == [b"\0\0\0own", b"plain"]


def test_an_expiry_is_told_once_by_the_first_owner_that_can_be_reached() -> None:
    cluster, numbers = watched(changes=int(KeyChange.EXPIRE))
    keys = [b"k%d" % number for number in range(20)]
    for key in keys:
        cluster.ask("n1", [SET, key, 0, b"v", 3, 0, 1_500], 0.01)
    cluster.run(4.0)
    expected = sorted((cluster.owners(key)[0], KeyChange.EXPIRE, key) for key in keys)
    assert sorted(told(cluster, numbers)) == expected
    for key in keys:
        cluster.ask("n1", [SET, key, 0, b"v", 3, 0, 1_500], 0.01)
    del numbers["n2"]
    cluster.kill("n2")
    cluster.run(4.0)
    firsts = {key: next(owner for owner in cluster.owners(key) if owner != "n2") for key in keys}
    again = sorted((firsts[key], KeyChange.EXPIRE, key) for key in keys)
    assert sorted(told(cluster, numbers)) == sorted([*(each for each in expected if each[0] != "n2"), *again])


def test_evictions_are_told_by_the_first_owner() -> None:
    storage = attrs.evolve(SWITCHED_ON.storage, limit_bytes=1_600_000)
    cluster, numbers = watched(attrs.evolve(SWITCHED_ON, storage=storage), changes=int(KeyChange.EVICT))
    for number in range(400):
        cluster.ask("n1", [SET, b"k%d" % number, 0, b"x" * 4_000], 0.01)
    events = told(cluster, numbers)
    evicted = {name: node.engine.evicted for name, node in cluster.nodes.items()}
    assert min(evicted.values()) > 0
    assert 0 < len(events) < sum(evicted.values())
    assert all(cluster.owners(key)[0] == name and cluster.record(name, key) is None for name, _, key in events)


def test_a_poll_waits_for_news() -> None:
    cluster, numbers = watched()
    assert cluster.ask("n1", [EVENTS, numbers["n1"], 0, 5_000], 1.0) is None
    rid = cluster.next_rid - 1
    cluster.ask("n1", [SET, b"a", 0, b"v"])
    ((_, _, last, lost, laid),) = cluster.replies[rid]
    assert (last, lost, laid[:2]) == (1, 0, [KeyChange.SET, b"a"])
    assert cluster.ask("n1", [EVENTS, numbers["n1"], 1, 2_000], 1.0) is None
    rid = cluster.next_rid - 1
    cluster.run(2.0)
    assert cluster.replies[rid] == [[HAPPENED, rid, 1, 0, []]]


def test_what_was_not_taken_is_sent_again() -> None:
    cluster, numbers = watched()
    cluster.ask("n1", [SET, b"a", 0, b"v"])
    first = cluster.ask("n1", [EVENTS, numbers["n1"], 0, 0])
    assert cluster.ask("n1", [EVENTS, numbers["n1"], 0, 0])[2:] == first[2:]
    assert cluster.ask("n1", [EVENTS, numbers["n1"], first[2], 0])[4] == []


def test_a_lost_connection_loses_nothing_but_the_question() -> None:
    cluster, numbers = watched()
    assert cluster.ask("n1", [EVENTS, numbers["n1"], 0, 9_000]) is None
    rid = cluster.next_rid - 1
    cluster.tell("n1", Disconnected(CLIENT))
    cluster.ask("n2", [SET, b"a", 0, b"v"])
    cluster.ask("n1", [SET, b"a", 0, b"v"])
    assert rid not in cluster.replies
    assert cluster.ask("n1", [EVENTS, numbers["n1"], 0, 0])[4][1] == b"a"


def test_who_asks_no_more_is_forgotten_and_nothing_is_done_for_nobody() -> None:
    cluster, numbers = watched()
    node = cluster.nodes["n1"]
    assert (node.shared.happened is None, node.engine.gone is None) == (False, False)
    cluster.run(IDLE_LIMIT_S + 2)
    assert len(node.observed.key_events) == 0
    assert (node.shared.happened is None, node.engine.gone is None) == (True, True)
    assert cluster.ask("n1", [EVENTS, numbers["n1"], 0, 0])[2:] == [None, 0, []]


def test_events_are_off_until_switched_on_and_subscribers_are_limited() -> None:
    assert cluster_error(FakeCluster(), [SUBSCRIBE, b""]) == (InvalidRequest.code, "key events are off")
    cluster = FakeCluster(config=SWITCHED_ON)
    for _ in range(SUBSCRIPTIONS_LIMIT):
        assert cluster.ask("n1", [SUBSCRIBE, b"a"], 0.0)[0] == SUBSCRIBED
    assert cluster_error(cluster, [SUBSCRIBE, b""]) == (Overloaded.code, "64 clients already subscribe")


def test_the_settings_of_a_namespace_decide_where_there_are_some() -> None:
    cluster = FakeCluster()
    cluster.ask("n1", [COMMAND, "namespace_set", {"name": "team", "options": {"key_events": True}}], 1.0)
    assert cluster.ask("n2", [SUBSCRIBE, b"\0\x04teamuser:"])[0] == SUBSCRIBED
    assert cluster_error(cluster, [SUBSCRIBE, b""])[1] == "key events are off"
    cluster = FakeCluster(config=SWITCHED_ON)
    number = cluster.ask("n2", [SUBSCRIBE, b"\0\x04team"])[2]
    cluster.ask("n2", [SET, b"\0\x04teamkey", 0, b"v"])
    assert cluster.ask("n2", [EVENTS, number, 0, 0])[4][1] == b"\0\x04teamkey"
    cluster.ask("n1", [COMMAND, "namespace_set", {"name": "team", "options": {"key_events": False}}], 1.0)
    reply = cluster.ask("n2", [EVENTS, number, 0, 0])
    assert (reply[0], reply[2]) == (ERROR, InvalidRequest.code)
    assert cluster.nodes["n2"].shared.happened is None


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ([SUBSCRIBE], "prefix: got None"),
        ([SUBSCRIBE, "text"], "prefix: got 'text'"),
        ([SUBSCRIBE, b"\0\x05te"], "expected a namespace's prefix"),
        ([SUBSCRIBE, b"", 0], "changes: got 0"),
        ([SUBSCRIBE, b"", 16], "changes: got 16"),
        ([EVENTS, b"", 0], "expected the number"),
        ([EVENTS, 1, 0, 60_000], "wait_ms: got 60000"),
        ([EVENTS, 1], "fields of the wrong number"),
    ],
)
def test_malformed_questions_are_refused(message: list[object], text: str) -> None:
    assert cluster_error(FakeCluster(1, SWITCHED_ON), message) == (InvalidRequest.code, text)


def cluster_error(cluster: FakeCluster, message: list[object]) -> tuple[int, str]:
    """Code of the error, and the part of its text that says what it is."""
    reply = cluster.ask("n1", message, 0.0)
    assert reply[0] == ERROR
    known = (
        *("key events are off", "64 clients already subscribe", "prefix: got None", "prefix: got 'text'"),
        *("changes: got 0", "changes: got 16", "expected the number", "wait_ms: got 60000"),
        *("fields of the wrong number", "expected a namespace's prefix"),
    )
    return reply[2], next((text for text in known if text in reply[3]), reply[3])
