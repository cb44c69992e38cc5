"""Which endpoint is asked: owners first, failures avoided, never a refusal."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.client.routing import (
    AVOID_FIRST_S,
    AVOID_LONGEST_S,
    FAILURES_BEFORE_AVOIDING,
    PROBE_S,
    Endpoint,
    Router,
)
from dynacache.errors import ClusterMismatch, ProtocolError
from dynacache.namespaces.names import prefix, qualify, with_factor
from dynacache.placement.partitions import key_hash, partition_of, partition_of_key
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberEntry, MemberState, MemberTable
from dynacache.types import MEMBER_STOPPING

CLUSTER = b"0123456789abcdef"
KEYS = [b"key-%d" % number for number in range(200)]


def entry(number: int, state: MemberState = MemberState.NORMAL, version: int = 1, port: int = 0) -> MemberEntry:
    """A member's entry."""
    return MemberEntry(f"n{number}", 1, version, state, "", 1, f"10.0.0.{number}", port or 7400)


def table(*entries: MemberEntry, cluster_id: bytes = CLUSTER) -> MemberTable:
    """A member table."""
    return MemberTable.of(cluster_id, 64, 3, entries)


FIVE = table(*(entry(number) for number in range(1, 6)))


def router_of(members: MemberTable = FIVE, states: dict[str, int] | None = None) -> Router:
    """A router that has been told a topology."""
    router = Router.from_seeds([("seed", 1)])
    router.update(members.to_wire(), states or {}, 0.0)
    return router


def owners_of(key: bytes, members: MemberTable = FIVE) -> list[str]:
    """The owners by the placement."""
    return list(Placement.from_table(members).owners(partition_of(key_hash(key), members.partition_count)))


def choices(router: Router, key: bytes, now_s: float = 0.0, **arguments: Any) -> list[str | None]:
    """The endpoints that a call is sent to when each of them fails it in turn."""
    tried: tuple[Endpoint, ...] = ()
    for _ in range(len(router.endpoints)):
        tried += (router.choose(key, False, now_s, tried, **arguments),)
    return [endpoint.node_id for endpoint in tried]


@pytest.mark.parametrize("key", KEYS[:20])
def test_owners_in_preference_order_then_the_rest_then_seeds(key: bytes) -> None:
    chosen = choices(router_of(), key)
    assert chosen[:3] == owners_of(key)
    assert set(chosen[3:5]) == {f"n{number}" for number in range(1, 6)} - set(owners_of(key))
    assert chosen[5] is None


def test_the_first_owner_is_kept() -> None:
    router = router_of()
    for key in KEYS:
        assert {router.choose(key, False, 0.0).node_id for _ in range(5)} == {owners_of(key)[0]}


def test_spread_reads_go_round_the_owners() -> None:
    router = router_of()
    chosen = [router.choose(KEYS[0], True, 0.0).node_id for _ in range(300)]
    assert {name: chosen.count(name) for name in owners_of(KEYS[0])} == dict.fromkeys(owners_of(KEYS[0]), 100)


def test_without_topology_the_seeds_are_asked() -> None:
    router = Router.from_seeds([("a", 1), ("b", 2), ("a", 1)])
    first = router.choose(b"k", False, 0.0)
    second = router.choose(b"k", False, 0.0, (first,))
    assert {first.address, second.address} == {("a", 1), ("b", 2)}


def test_a_call_without_key_goes_to_members_in_turn() -> None:
    router = router_of()
    assert {router.choose(None, False, 0.0).node_id for _ in range(50)} == {f"n{number}" for number in range(1, 6)}


def test_dead_and_suspected_members_come_after_live_ones() -> None:
    key = KEYS[0]
    first, second, third = owners_of(key)
    router = router_of(FIVE, {first: 2, second: 1})
    chosen = choices(router, key)
    assert chosen[0] == third
    assert {first, second}.isdisjoint(chosen)
    others = [endpoint for endpoint in router.endpoints.values() if endpoint.node_id not in (first, second)]
    for endpoint in others:
        endpoint.failed(0.0, FAILURES_BEFORE_AVOIDING)
    assert first in choices(router, key, 0.1)


def test_a_connection_that_answers_counts_more_than_what_is_told() -> None:
    key = KEYS[0]
    router = router_of(FIVE, {owners_of(key)[0]: 2})
    endpoint = next(endpoint for endpoint in router.endpoints.values() if endpoint.node_id == owners_of(key)[0])
    endpoint.connections = 1
    assert router.choose(key, False, 0.0) is endpoint


def test_three_failures_in_a_row_are_avoided_doubling_to_the_longest() -> None:
    endpoint = Endpoint(("a", 1))
    for _ in range(FAILURES_BEFORE_AVOIDING - 1):
        endpoint.failed(0.0)
    assert endpoint.usable(0.0)
    now_s, avoided_s = 0.0, []
    for _ in range(6):
        endpoint.failed(now_s)
        assert not endpoint.usable(now_s)
        avoided_s.append(endpoint.avoided_until_s - now_s)
        now_s = endpoint.avoided_until_s
        assert endpoint.usable(now_s)
    assert avoided_s == [AVOID_FIRST_S, 2.0, 4.0, 8.0, AVOID_LONGEST_S, AVOID_LONGEST_S]
    endpoint.answered()
    endpoint.failed(now_s)
    assert endpoint.usable(now_s)


def test_a_thousand_failures_at_once_are_one_trouble() -> None:
    endpoint = Endpoint(("a", 1))
    for _ in range(1000):
        endpoint.failed(5.0)
    assert endpoint.avoided_until_s == 5.0 + AVOID_FIRST_S


def test_an_avoided_owner_is_tried_by_one_call_at_a_time() -> None:
    key = KEYS[0]
    router = router_of()
    first = router.choose(key, False, 0.0)
    first.failed(0.0, FAILURES_BEFORE_AVOIDING)
    assert router.choose(key, False, 0.5) is not first
    assert router.choose(key, False, AVOID_FIRST_S, probe=False) is not first
    assert router.choose(key, False, AVOID_FIRST_S) is first
    assert router.choose(key, False, AVOID_FIRST_S) is not first
    assert router.choose(key, False, AVOID_FIRST_S + PROBE_S) is first
    first.answered()
    assert [router.choose(key, False, 9.0) for _ in range(2)] == [first, first]


def test_when_all_are_avoided_the_one_tried_longest_ago_is_asked() -> None:
    router = Router.from_seeds([("a", 1), ("b", 2)])
    for endpoint in router.endpoints.values():
        endpoint.failed(0.0, FAILURES_BEFORE_AVOIDING)
    first = router.choose(b"k", False, 0.1)
    second = router.choose(b"k", False, 0.1, (first,))
    assert second is not first
    assert router.choose(b"k", False, 0.1, (first, second)) is first


def test_members_that_left_are_not_asked() -> None:
    members = table(entry(1), entry(2, MemberState.LEFT), entry(3, MemberState.REMOVED), entry(4, MemberState.OUTSIDE))
    router = router_of(members)
    assert {endpoint.node_id for endpoint in router.endpoints.values()} == {"n1", "n4", None}


def test_pushes_merge_in_any_order() -> None:
    newer = table(*(entry(number, version=2, port=9000) for number in range(1, 6)))
    router = router_of(newer)
    router.update(FIVE.to_wire(), {}, 0.0)
    assert {endpoint.address[1] for endpoint in router.endpoints.values() if endpoint.node_id} == {9000}


def test_an_endpoint_outlives_a_push() -> None:
    router = router_of()
    before = router.choose(KEYS[0], False, 0.0)
    router.update(FIVE.with_entry(entry(6)).to_wire(), {}, 0.0)
    assert router.endpoints[before.address] is before


def test_another_cluster_is_refused() -> None:
    router = router_of()
    with pytest.raises(ClusterMismatch):
        router.update(table(entry(1), cluster_id=b"x" * 16).to_wire(), {}, 0.0)
    assert router.table == FIVE


@pytest.mark.parametrize("wire", [None, [], {}, "x", [CLUSTER, 63, 3, []]])
def test_a_malformed_topology_is_refused(wire: Any) -> None:
    router = router_of()
    with pytest.raises(ProtocolError, match="malformed"):
        router.update(wire, {}, 0.0)
    with pytest.raises(ProtocolError, match="malformed"):
        router.update(FIVE.to_wire(), [], 0.0)
    assert router.table == FIVE


def test_the_address_that_answered_is_used_for_its_node() -> None:
    router = Router.from_seeds([("outside.example", 1)])
    (seed,) = router.endpoints.values()
    router.learn_node(seed, "n1")
    router.update(FIVE.to_wire(), {}, 0.0)
    assert seed.address in router.endpoints
    assert ("10.0.0.1", 7400) not in router.endpoints
    late = router_of()
    (seed,) = (endpoint for endpoint in late.endpoints.values() if endpoint.node_id is None)
    late.learn_node(seed, "n1")
    assert ("10.0.0.1", 7400) not in late.endpoints
    assert len(late.endpoints) == 5


def test_a_member_back_alive_is_used_at_once() -> None:
    key = KEYS[0]
    router = router_of()
    first = router.choose(key, False, 0.0)
    first.failed(0.0, FAILURES_BEFORE_AVOIDING)
    router.update(FIVE.to_wire(), {first.node_id: 2}, 0.1)
    assert router.choose(key, False, 0.2) is not first
    router.update(FIVE.to_wire(), {first.node_id: 0}, 0.3)
    assert router.choose(key, False, 0.3) is first


def test_a_node_that_says_it_stops_is_left_before_it_refuses() -> None:
    key = KEYS[0]
    router = router_of()
    first = router.choose(key, False, 0.0)
    first.connections = 1
    router.update(FIVE.to_wire(), {first.node_id: MEMBER_STOPPING}, 0.1)
    assert router.choose(key, False, 0.2) is not first
    # Others, who still call it alive, do not make it be asked again before its time.
    router.update(FIVE.to_wire(), {first.node_id: 0}, 0.3)
    assert router.choose(key, False, 0.3) is not first
    assert router.choose(key, False, 20.0) is first


def test_an_address_may_be_insisted_on() -> None:
    router = router_of()
    assert router.endpoint_at(("10.0.0.2", 7400)).node_id == "n2"
    assert router.endpoint_at(("elsewhere", 1)).node_id is None


def test_addresses_are_shown_as_they_are_written() -> None:
    assert str(Endpoint(("a", 1))) == "a:1"
    assert str(Endpoint(("::1", 1))) == "[::1]:1"


@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["fail", "dead", "alive", "answer"]), st.floats(0, 30))),
    st.booleans(),
)
def test_routing_never_refuses_and_prefers_untried_usable_owners(
    events: list[tuple[int, str, float]], spread: bool
) -> None:
    router = router_of()
    states: dict[str, int] = {}
    members = [endpoint for endpoint in router.endpoints.values() if endpoint.node_id]
    now_s = 0.0
    for index, what, now_s in sorted(events, key=lambda event: event[2]):
        if what == "fail":
            members[index].failed(now_s)
        elif what == "answer":
            members[index].answered()
        else:
            states[f"n{index + 1}"] = 2 if what == "dead" else 0
            router.update(FIVE.to_wire(), states, now_s)
    by_name = {endpoint.node_id: endpoint for endpoint in members}
    for key in KEYS[:20]:
        chosen = router.choose(key, spread, now_s)
        good = [name for name in owners_of(key) if by_name[name].usable(now_s) and by_name[name].failures < 3]
        assert chosen.node_id in good or not good or chosen.failures >= FAILURES_BEFORE_AVOIDING


def test_what_is_told_of_namespaces_replaces_what_was_told_before() -> None:
    router = router_of(FIVE)
    told = router.compressions
    for compressions, known in (
        ({"big": "zstandard", "odd": "lzma", 7: "zstandard"}, {"big": "zstandard"}),
        ({"other": "zstandard"}, {"other": "zstandard"}),
        (None, {}),
        ([1], {}),
    ):
        router.update(FIVE.to_wire(), {}, 0.0, compressions)
        assert told == known
        assert told is router.compressions


def test_a_key_of_a_namespace_with_a_factor_goes_to_an_owner_of_its_own_partition() -> None:
    members = FIVE.with_factor(1, 5)
    router = router_of(members)
    placement = Placement.from_table(members)
    router.update(members.to_wire(), {}, 0.0, None, {"single": 1, "": 2, 3: 1, "odd": 12, "later": 4, "No name": 2})
    for number in range(50):
        key = qualify("single", b"k%d" % number)
        (owner,) = placement.owners(partition_of_key(with_factor(key, 1), placement.shift))
        assert router.choose(key, False, 0.0).node_id == owner
        assert router.choose(qualify("later", b"k%d" % number), False, 0.0).node_id in placement.table.entries
    assert router.numbers_of(prefix("single")) == range(64, 128)
    assert router.numbers_of(prefix("other")) == router.numbers_of(b"") == range(64)
    assert Router.from_seeds([("seed", 1)]).numbers_of(b"") == range(0)
    router.update(members.to_wire(), {}, 0.0)
    assert router.numbers_of(prefix("single")) == range(64)
