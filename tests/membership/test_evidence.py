"""What a claim does to a view: monotone lives, refutation, stale claims, strangers, namesakes; independent of order."""

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.config.membership import MembershipConfig
from dynacache.membership.effects import Effect, MemberChanged, NameConflict, Note, NoteKind
from dynacache.membership.messages import PING, Ack, encode_claim, exchange_payload
from dynacache.membership.state import Claim, Member, NodeState
from tests.membership.harness import Bench
from tests.membership.strategies import claims

A = Member("a", "10.0.0.2", 7000, generation=5, incarnation=3)
B = Member("b", "10.0.0.3", 7000, generation=5)
ORIGIN = ("10.9.9.9", 7000)


def bench(**changes: Any) -> Bench:
    return Bench(MembershipConfig(**changes))


def held(under_test: Bench, node_id: str) -> Member:
    member = under_test.swim.member(node_id)
    assert member is not None
    return member


def changed(effects: list[object]) -> list[tuple[NodeState, NodeState | None]]:
    return [(effect.member.state, effect.previous_state) for effect in effects if isinstance(effect, MemberChanged)]


def claimed(under_test: Bench, effects: Sequence[Effect], to: tuple[str, int]) -> list[Member]:
    messages = under_test.sent(effects, to)
    return [message.member for message in messages if isinstance(message, Claim)]


@pytest.mark.parametrize("state", [NodeState.SUSPECT, NodeState.DEAD, NodeState.LEFT])
def test_each_worse_state_is_taken_and_told_on(state: NodeState) -> None:
    under_test = bench()
    assert changed([*under_test.hear_of(A)]) == [(NodeState.ALIVE, None)]
    assert changed([*under_test.hear_of(A.in_state(state))]) == [(state, NodeState.ALIVE)]
    assert under_test.swim.is_alive("a") == (state is NodeState.SUSPECT)
    rumours = claimed(under_test, [*under_test.hear("peer", [PING, 1, "self"], at=ORIGIN)], ORIGIN)
    assert A.in_state(state) in rumours


def test_evidence_that_changes_no_state_still_raises_the_life() -> None:
    under_test = bench()
    under_test.hear_of(A)
    under_test.hear_of(A.in_state(NodeState.DEAD))
    assert changed([*under_test.hear_of(attrs.evolve(A, incarnation=10, state=NodeState.DEAD))]) == []
    under_test.hear_of(attrs.evolve(A, incarnation=7))
    assert (held(under_test, "a").state, held(under_test, "a").incarnation) == (NodeState.DEAD, 10)


@pytest.mark.parametrize("state", [NodeState.SUSPECT, NodeState.DEAD])
def test_a_stale_alive_is_answered_to_its_sender_and_to_the_node(state: NodeState) -> None:
    under_test = bench()
    under_test.hear_of(A)
    under_test.hear_of(A.in_state(state))
    for stale in (A, attrs.evolve(A, incarnation=1), attrs.evolve(A, generation=4, incarnation=9)):
        effects = under_test.hear_of(stale)
        assert claimed(under_test, [*effects], ORIGIN)[0] == A.in_state(state)
        assert claimed(under_test, [*effects], A.address)[0] == A.in_state(state)
        assert held(under_test, "a").state is state


@pytest.mark.parametrize("life", [(5, 2), (4, 9)])
def test_a_stale_dead_is_answered_with_the_contradiction(life: tuple[int, int]) -> None:
    under_test = bench()
    under_test.hear_of(A)
    stale = attrs.evolve(A, generation=life[0], incarnation=life[1], state=NodeState.DEAD)
    effects = under_test.hear_of(stale)
    assert claimed(under_test, [*effects], ORIGIN)[0] == A
    assert claimed(under_test, [*effects], A.address) == []
    assert held(under_test, "a") == A


@pytest.mark.parametrize("state", [NodeState.SUSPECT, NodeState.DEAD])
def test_an_old_accusation_is_not_answered_by_who_believes_a_later_one(state: NodeState) -> None:
    under_test = bench()
    under_test.hear_of(A)
    under_test.hear_of(A.in_state(state))
    assert under_test.hear_of(attrs.evolve(A, incarnation=1, state=NodeState.DEAD)) == []


def test_a_stale_suspicion_alone_is_not_worth_a_packet_but_rides_on_the_ack() -> None:
    under_test = bench()
    under_test.hear_of(A)
    stale = encode_claim(attrs.evolve(A, incarnation=2, state=NodeState.SUSPECT), "x")
    assert under_test.hear("peer", stale) == []
    for _ in range(2):
        messages = under_test.sent(under_test.hear("peer", stale, [PING, 1, "self"], at=ORIGIN), ORIGIN)
        assert messages[:2] == [Ack(1), Claim(A, "a")]
    assert under_test.swim.statistics().counters.corrections == 2
    after = under_test.sent(under_test.hear("peer", [PING, 2, "self"], at=ORIGIN), ORIGIN)
    assert after[0] == Ack(2)


@pytest.mark.parametrize(("host", "expected"), [("10.0.1.1", 8), ("h" * 250, 4)])
def test_corrections_in_one_ack_are_bounded_by_number_and_by_room(host: str, expected: int) -> None:
    under_test = bench(rumours_limit=1)
    members = [Member(f"m{n:02}", host, 7000 + n, 1, incarnation=5) for n in range(12)]
    for member in members:
        under_test.hear_of(member)
    stale = [
        encode_claim(attrs.evolve(member, host="10.0.1.2", incarnation=1, state=NodeState.SUSPECT), "x")
        for member in members
    ]
    effects = under_test.hear("peer", *stale, [PING, 1, "self"], at=ORIGIN)
    assert under_test.swim.statistics().counters.corrections == expected
    assert claimed(under_test, effects, ORIGIN)[:expected] == members[:expected]


def test_answers_have_a_budget() -> None:
    under_test = bench(answers_limit=2)
    under_test.hear_of(A)
    under_test.hear_of(A.in_state(NodeState.DEAD))
    for _ in range(5):
        under_test.hear_of(A)
    counters = under_test.swim.statistics().counters
    assert (counters.stale_claims_answered, counters.stale_claims_unanswered) == (2, 3)
    under_test.now_s += 0.2
    under_test.hear_of(A)
    assert under_test.swim.statistics().counters.stale_claims_answered == 3


@pytest.mark.parametrize("state", [NodeState.SUSPECT, NodeState.DEAD, NodeState.LEFT])
@pytest.mark.parametrize("accused", [(10, 0), (10, 7), (12, 3)])
def test_an_accusation_against_us_is_contradicted_at_once(state: NodeState, accused: tuple[int, int]) -> None:
    under_test = bench()
    generation, incarnation = accused
    accusation = attrs.evolve(under_test.own, generation=generation, incarnation=incarnation, state=state)
    effects = under_test.hear_of(accusation)
    assert Note(NoteKind.REFUTED, "self", state.name) in effects
    assert under_test.swim.own.life > accused
    assert under_test.swim.own.state is NodeState.ALIVE
    assert under_test.swim.statistics().local_health == (state is not NodeState.LEFT)
    answer = under_test.hear("peer", [PING, 1, "self"], at=ORIGIN)
    assert claimed(under_test, [*answer], ORIGIN)[0] == under_test.swim.own
    assert changed([*effects]) == ([(NodeState.ALIVE, NodeState.ALIVE)] if generation > 10 else [])


def test_the_same_accusation_twice_is_contradicted_once_and_then_answered() -> None:
    under_test = bench()
    under_test.hear_of(under_test.own.in_state(NodeState.DEAD))
    effects = under_test.hear_of(under_test.own.in_state(NodeState.DEAD))
    assert under_test.swim.own.incarnation == 1
    assert claimed(under_test, [*effects], ORIGIN)[0] == under_test.swim.own
    assert under_test.swim.statistics().counters.refutations == 1


def test_an_incarnation_at_its_end_continues_in_the_next_generation() -> None:
    under_test = bench()
    under_test.hear_of(attrs.evolve(under_test.own, incarnation=2**32 - 1, state=NodeState.DEAD))
    assert under_test.swim.own.life == (11, 0)


def test_a_life_at_the_very_end_cannot_be_contradicted_but_does_no_harm() -> None:
    under_test = bench()
    last = attrs.evolve(under_test.own, generation=2**64 - 1, incarnation=2**32 - 1, state=NodeState.DEAD)
    under_test.hear_of(last)
    under_test.hear_of(last)
    assert under_test.swim.own.state is NodeState.ALIVE


def test_an_accusation_about_a_stranger_waits_for_it_and_is_told_on_once() -> None:
    under_test = bench()
    accused = A.in_state(NodeState.DEAD)
    assert changed([*under_test.hear_of(accused)]) == []
    assert under_test.swim.member("a") is None
    told = [
        claimed(under_test, [*under_test.hear("peer", [PING, n, "self"], at=ORIGIN)], ORIGIN).count(accused)
        for n in range(3)
    ]
    assert told == [1, 0, 0]
    effects = under_test.hear_of(A)
    assert changed([*effects]) == [(NodeState.ALIVE, None), (NodeState.DEAD, NodeState.ALIVE)]
    assert claimed(under_test, [*effects], A.address)[0] == accused


def test_a_stranger_with_a_later_life_is_taken_as_it_is() -> None:
    under_test = bench()
    under_test.hear_of(A.in_state(NodeState.DEAD))
    under_test.hear_of(attrs.evolve(A, incarnation=4))
    assert held(under_test, "a").state is NodeState.ALIVE
    assert under_test.swim.statistics().accusations_pending == 0


def test_pending_accusations_are_bounded() -> None:
    under_test = bench(pending_limit=3)
    for number in range(5):
        under_test.hear_of(Member(f"stranger-{number}", "10.0.0.9", 7000, 1, state=NodeState.DEAD))
    statistics = under_test.swim.statistics()
    assert (statistics.accusations_pending, statistics.counters.accusations_pending_dropped) == (3, 2)


def test_the_table_is_bounded_and_says_so() -> None:
    under_test = bench(members_limit=2)
    under_test.hear_of(A)
    assert under_test.hear_of(B) == [Note(NoteKind.MEMBERS_LIMIT_REACHED, "b")]
    assert under_test.swim.member("b") is None
    under_test.hear_of(A.in_state(NodeState.DEAD))
    assert held(under_test, "a").state is NodeState.DEAD


def test_independent_accusers_shorten_a_suspicion_and_are_told_on() -> None:
    under_test = bench()
    under_test.hear_of(A, B, attrs.evolve(B, node_id="c"), attrs.evolve(B, node_id="d"))
    for source in ("x", "x", "y", "z"):
        under_test.hear_of(A.in_state(NodeState.SUSPECT), source=source)
    assert under_test.swim.statistics().counters.confirmations == 2
    answer = under_test.sent(under_test.hear("peer", [PING, 1, "self"], at=ORIGIN), ORIGIN)
    assert Claim(A.in_state(NodeState.SUSPECT), "z") in answer


@pytest.mark.parametrize("is_contradicted", [True, False])
def test_verdicts_wait_for_what_may_lie_unread_after_a_pause(is_contradicted: bool) -> None:
    under_test = bench()
    under_test.hear_of(A)
    under_test.hear_of(A.in_state(NodeState.SUSPECT))
    under_test.now_s += 60.0
    under_test.swim.tick(under_test.now_s, under_test.wall_ms)
    under_test.tick(0.9)
    assert held(under_test, "a").state is NodeState.SUSPECT
    if is_contradicted:
        under_test.hear_of(attrs.evolve(A, incarnation=4))
    under_test.tick(0.9)  # the last call comes after the pause
    assert held(under_test, "a").state is (NodeState.ALIVE if is_contradicted else NodeState.SUSPECT)
    under_test.tick(0.3)
    assert held(under_test, "a").state is (NodeState.ALIVE if is_contradicted else NodeState.DEAD)


def test_a_dead_member_of_a_table_is_only_suspected() -> None:
    under_test = bench()
    under_test.hear_of(A)
    table = [(A.in_state(NodeState.DEAD), "x"), (B.in_state(NodeState.DEAD), "x"), (under_test.own, "self")]
    under_test.stream("peer", exchange_payload(b"cluster", table, is_answer=True))
    assert held(under_test, "a").state is NodeState.SUSPECT
    assert held(under_test, "b").state is NodeState.SUSPECT


def test_a_table_does_not_soften_a_death_that_is_known() -> None:
    under_test = bench()
    under_test.hear_of(A)
    under_test.hear_of(A.in_state(NodeState.DEAD))
    later = attrs.evolve(A, incarnation=9, state=NodeState.DEAD)
    under_test.stream("peer", exchange_payload(b"cluster", [(later, "x")], is_answer=True))
    assert held(under_test, "a") == later


def test_a_ping_from_a_member_held_dead_is_answered_with_the_accusation() -> None:
    under_test = bench()
    under_test.hear_of(A)
    under_test.hear_of(A.in_state(NodeState.DEAD))
    messages = under_test.sent(under_test.hear("a", [PING, 4, "self"], at=A.address), A.address)
    assert messages[:2] == [Ack(4), Claim(A.in_state(NodeState.DEAD), "self")]


def test_a_namesake_with_a_later_life_wins() -> None:
    under_test = bench()
    namesake = attrs.evolve(under_test.own, host="10.0.0.2", generation=11)
    assert NameConflict(namesake) in under_test.hear_of(namesake)


def test_a_namesake_with_an_earlier_life_is_told_of_us() -> None:
    under_test = bench()
    namesake = attrs.evolve(under_test.own, host="10.0.0.2", generation=9, incarnation=50)
    effects = under_test.hear_of(namesake)
    assert claimed(under_test, [*effects], namesake.address)[0] == under_test.swim.own
    assert not any(isinstance(effect, NameConflict) for effect in effects)


@pytest.mark.parametrize(("host", "loses"), [("10.0.0.2", True), ("10.0.0.0", False)])
def test_at_equal_generations_the_address_decides_on_both_sides(host: str, loses: bool) -> None:
    under_test = bench()
    namesake = attrs.evolve(under_test.own, host=host, incarnation=6)
    effects = under_test.hear_of(namesake)
    assert any(isinstance(effect, NameConflict) for effect in effects) == loses
    if not loses:
        assert under_test.swim.own.order_key > namesake.order_key


def test_who_moves_is_followed_and_the_old_place_is_told() -> None:
    under_test = bench()
    under_test.hear_of(A)
    moved = attrs.evolve(A, host="10.0.0.77", generation=6, incarnation=0)
    effects = under_test.hear_of(moved)
    assert held(under_test, "a") == moved
    assert claimed(under_test, [*effects], A.address)[0] == moved


def outcome(heard: list[Claim]) -> dict[str, Member]:
    """The view after these claims, each in a packet of its own, at one moment."""
    under_test = bench(answers_limit=1_000)
    for claim in heard:
        lives = {member.node_id: member.life for member in under_test.swim.members()}
        under_test.hear_of(claim.member, source=claim.source)
        assert all(held(under_test, node_id).life >= life for node_id, life in lives.items())
    return {member.node_id: member for member in under_test.swim.members()}


@given(st.lists(claims(), max_size=8).flatmap(lambda heard: st.tuples(st.just(heard), st.permutations(heard))))
def test_the_view_does_not_depend_on_the_order_and_lives_never_go_down(case: tuple[list[Claim], list[Claim]]) -> None:
    heard, shuffled = case
    for node_id in {claim.member.node_id for claim in heard}:
        introduction = [Claim(Member(node_id, "10.0.0.8", 7000, 0), "x")]
        heard, shuffled = introduction + heard, introduction + shuffled
    assert outcome(heard) == outcome(shuffled + shuffled)


@given(st.lists(claims(), max_size=8).flatmap(lambda heard: st.tuples(st.just(heard), st.permutations(heard))))
def test_accusations_before_introductions_end_in_the_same_view(case: tuple[list[Claim], list[Claim]]) -> None:
    heard, shuffled = case
    first, second = outcome(heard), outcome(shuffled)
    assert first == second
