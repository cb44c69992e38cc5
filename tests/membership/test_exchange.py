"""Whole tables: joining, regular exchange, reconnecting; never with another cluster."""

import itertools

import pytest

from dynacache.config.membership import MembershipConfig
from dynacache.membership.effects import Effect, Note, NoteKind, SendStream
from dynacache.membership.messages import PULL, PUSH, claim_fields, exchange_payload
from dynacache.membership.state import Member, NodeState
from tests.membership.harness import Bench

A = Member("a", "10.0.0.2", 7000, 1)
SEEDS = [("10.0.0.2", 7000), ("10.0.0.3", 7000)]


def pushes(effects: list[Effect]) -> list[tuple[str | None, tuple[str, int] | None]]:
    streams = [effect for effect in effects if isinstance(effect, SendStream)]
    return [(stream.node_id, stream.address) for stream in streams if stream.payload[0] == PUSH]


def join(under_test: Bench, seeds: list[tuple[str, int]]) -> list[Effect]:
    return under_test.swim.join(under_test.now_s, under_test.wall_ms, seeds)


def test_joining_sends_our_table_to_every_seed_but_ourselves() -> None:
    under_test = Bench()
    effects = join(under_test, [*SEEDS, under_test.own.address])
    assert sorted(pushes(effects), key=str) == [(None, seed) for seed in SEEDS]
    first = effects[0]
    assert isinstance(first, SendStream)
    assert first.payload == [PUSH, b"cluster", [claim_fields(under_test.own, "self")]]


def test_seeds_are_asked_again_ever_more_rarely_until_one_answers() -> None:
    under_test = Bench()
    join(under_test, SEEDS[:1])
    counts = [len(pushes(under_test.tick(10.0))) for _ in range(6)]
    assert counts[0] >= 4
    assert all(1 <= count <= 4 for count in counts[1:])
    under_test.stream("a", exchange_payload(b"cluster", [(A, "a")], is_answer=True))
    assert under_test.swim.is_alive("a")
    under_test.tick(0.1)
    assert all(address == A.address for _, address in pushes(under_test.tick(0.5)))


def test_members_may_serve_as_seeds() -> None:
    under_test = Bench()
    assert pushes(under_test.swim.join(under_test.now_s, under_test.wall_ms, [A])) == [(None, A.address)]


def test_too_many_seeds_are_refused_and_change_nothing() -> None:
    under_test = Bench(MembershipConfig(seeds_limit=1))
    with pytest.raises(ValueError, match="2 seeds"):
        join(under_test, SEEDS)
    assert pushes(under_test.tick(20.0)) == []


def test_a_table_is_taken_and_answered_with_ours() -> None:
    under_test = Bench()
    effects = under_test.stream("a", exchange_payload(b"cluster", [(A, "a")], is_answer=False))
    answer = effects[-1]
    assert isinstance(answer, SendStream)
    assert (answer.node_id, answer.address, answer.payload[0]) == ("a", A.address, PULL)
    assert answer.payload[2] == [claim_fields(under_test.own, "self"), claim_fields(A, "a")]


def test_an_answer_is_not_answered() -> None:
    under_test = Bench()
    effects = under_test.stream("a", exchange_payload(b"cluster", [(A, "a")], is_answer=True))
    assert not any(isinstance(effect, SendStream) for effect in effects)


def test_a_table_of_another_cluster_is_refused() -> None:
    under_test = Bench()
    effects = under_test.stream("a", exchange_payload(b"other", [(A, "a")], is_answer=False))
    assert effects == [Note(NoteKind.STREAM_REJECTED, "a", "table of another cluster")]
    assert under_test.swim.member("a") is None


@pytest.mark.parametrize("payload", [None, [], "x", [99], [PUSH, b"c"], {"a": 1}, [[1]], [2, 1, "a", "h", 1]])
def test_nonsense_is_refused_by_name(payload: object) -> None:
    under_test = Bench()
    assert under_test.stream("a", payload) == [Note(NoteKind.STREAM_REJECTED, "a", "no membership message")]
    assert under_test.swim.statistics().counters.streams_rejected == 1


def test_a_newcomer_exchanges_often_and_then_every_interval() -> None:
    under_test = Bench(MembershipConfig(reconnect_interval_s=10_000.0))
    under_test.hear_of(A)
    times: list[float] = []
    for _ in range(2_000):
        # A claim with a later life each time keeps the silent member from being held dead.
        under_test.hear_of(Member("a", "10.0.0.2", 7000, 2, incarnation=int(under_test.now_s * 10)))
        times += [under_test.now_s] * len(pushes(under_test.tick(0.1)))
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert gaps[:4] == pytest.approx([2.0, 4.0, 8.0, 16.0], abs=0.2)
    assert gaps[4:] == pytest.approx([30.0] * len(gaps[4:]), abs=0.2)
    assert len(gaps) >= 8


def test_the_dead_of_the_ring_and_lost_seeds_are_contacted_for_ever() -> None:
    under_test = Bench(MembershipConfig(forget_after_s=100.0))
    under_test.swim.set_ring_members(["a", "self"])
    under_test.hear_of(A)
    under_test.hear_of(A.in_state(NodeState.DEAD))
    under_test.tick(1_000.0)
    effects = under_test.tick(100.0)
    assert 8 <= len(pushes(effects)) <= 13
    assert set(pushes(effects)) == {("a", A.address)}


def test_who_left_for_good_is_left_alone_and_who_stopped_is_not() -> None:
    under_test = Bench()
    under_test.hear_of(A, Member("b", "10.0.0.3", 7000, 1))
    under_test.hear_of(A.in_state(NodeState.LEFT), Member("b", "10.0.0.3", 7000, 1, 0, NodeState.LEFT, stopped=True))
    assert set(pushes(under_test.tick(100.0))) == {("b", ("10.0.0.3", 7000))}


def test_with_few_down_reconnecting_is_rare() -> None:
    under_test = Bench(MembershipConfig(probe_period_s=10_000.0, push_pull_interval_s=100_000.0))
    under_test.hear_of(A.in_state(NodeState.LEFT), *[Member(f"m{n}", f"10.0.1.{n}", 7000, 1) for n in range(19)])
    under_test.hear_of(Member("b", "10.0.0.3", 7000, 1))
    under_test.hear_of(Member("b", "10.0.0.3", 7000, 1, state=NodeState.DEAD))
    under_test.tick(2_000.0)
    assert 2 <= under_test.swim.statistics().counters.reconnects <= 30
