"""One probe at a time: direct, then with help and over TCP, then an accusation; and our part in probes of others."""

from typing import Any

import attrs
import pytest

from dynacache.config.membership import MembershipConfig
from dynacache.membership.effects import Effect, Note, NoteKind, SendStream
from dynacache.membership.messages import ACK, NACK, PING, PING_REQUEST, Ack, Nack, Ping, PingRequest, encode_claim
from dynacache.membership.state import Claim, Member, NodeState
from tests.membership.harness import Bench

A = Member("a", "10.0.0.2", 7000, 1)
OTHERS = [Member(name, f"10.0.1.{number}", 7000, 1) for number, name in enumerate("bcde")]
ASKER = ("10.8.8.8", 7000)


def bench(*members: Member, **changes: Any) -> Bench:
    """A bench that knows these members and has told all its rumours."""
    under_test = Bench(MembershipConfig(**changes))
    under_test.hear_of(*members)
    return under_test


def until_probe(under_test: Bench) -> tuple[Ping, Member]:
    """Let time pass until a probe begins: its ping and whom it is for."""
    for _ in range(200):
        effects = under_test.tick(0.01)
        for message in under_test.sent(effects):
            if isinstance(message, Ping):
                target = under_test.swim.member(message.target_id)
                assert target is not None
                return message, target
    raise AssertionError("no probe began")


def state_of(under_test: Bench, node_id: str) -> NodeState:
    member = under_test.swim.member(node_id)
    assert member is not None
    return member.state


def kinds(under_test: Bench, effects: list[Effect], kind: type) -> list[object]:
    return [message for message in under_test.sent(effects) if isinstance(message, kind)]


def test_an_answered_probe_leaves_everything_as_it_is() -> None:
    under_test = bench(A)
    ping, target = until_probe(under_test)
    under_test.hear("a", [ACK, ping.sequence], at=target.address)
    under_test.tick(0.9)
    statistics = under_test.swim.statistics()
    assert (statistics.counters.probes, statistics.counters.probes_failed, statistics.suspect) == (1, 0, 0)


@pytest.mark.parametrize(("sender", "offset"), [("b", 0), ("a", 1)])
def test_an_answer_of_another_or_to_another_probe_does_not_count(sender: str, offset: int) -> None:
    under_test = bench(A)
    ping, _ = until_probe(under_test)
    under_test.hear(sender, [ACK, ping.sequence + offset])
    under_test.tick(1.0)
    assert state_of(under_test, "a") is NodeState.SUSPECT


def test_a_silent_member_is_probed_through_three_others_and_over_tcp_and_then_suspected() -> None:
    under_test = bench(A, *OTHERS)
    ping, target = until_probe(under_test)
    effects = under_test.tick(0.5)
    requests = [m for m in under_test.sent(effects) if isinstance(m, PingRequest)]
    assert requests == [PingRequest(ping.sequence, target.node_id, target.host, 7000)] * 3
    assert SendStream(target.node_id, target.address, [PING, ping.sequence, target.node_id]) in effects
    effects = under_test.tick(0.5)
    assert Note(NoteKind.PROBE_FAILED, target.node_id) in effects
    assert state_of(under_test, target.node_id) is NodeState.SUSPECT


def helpers_of(under_test: Bench, effects: list[Effect]) -> list[Member]:
    return [
        member
        for member in under_test.swim.members()
        if any(isinstance(message, PingRequest) for message in under_test.sent(effects, member.address))
    ]


@pytest.mark.parametrize("way", ["relayed", "stream"])
def test_an_answer_by_another_way_counts(way: str) -> None:
    under_test = bench(A, *OTHERS)
    ping, target = until_probe(under_test)
    helper = helpers_of(under_test, under_test.tick(0.5))[0]
    if way == "relayed":
        under_test.hear(helper.node_id, [ACK, ping.sequence], at=helper.address)
    else:
        effects = under_test.stream(target.node_id, [ACK, ping.sequence])
        assert Note(NoteKind.STREAM_ONLY, target.node_id, "answers over TCP but not over UDP") in effects
    under_test.tick(0.49)
    assert state_of(under_test, target.node_id) is NodeState.ALIVE
    assert under_test.swim.statistics().local_health == 0


@pytest.mark.parametrize("nacks", [0, 1, 3])
def test_missing_nacks_speak_against_ourselves(nacks: int) -> None:
    under_test = bench(A, *OTHERS)
    ping, _ = until_probe(under_test)
    helpers = helpers_of(under_test, under_test.tick(0.5))
    for helper in helpers[:nacks]:
        under_test.hear(helper.node_id, [NACK, ping.sequence], at=helper.address)
    under_test.hear("stranger", [NACK, ping.sequence])
    under_test.tick(0.5)
    assert under_test.swim.statistics().local_health == 1 + 3 - nacks


def test_bad_health_slows_probes() -> None:
    under_test = bench(A)
    for _ in range(3):
        under_test.swim.note_loop_lag(0.2)
    until_probe(under_test)
    began_s = under_test.now_s
    until_probe_again = under_test.tick(3.9)
    assert kinds(under_test, until_probe_again, Ping) == []
    under_test.tick(0.2)
    assert state_of(under_test, "a") is NodeState.SUSPECT
    assert under_test.now_s - began_s == pytest.approx(4.1)


def test_a_suspect_is_pinged_with_the_suspicion_against_it() -> None:
    under_test = bench(A)
    under_test.hear_of(A.in_state(NodeState.SUSPECT), source="x")
    for _ in range(100):
        messages = under_test.sent(under_test.tick(0.01), A.address)
        if messages and isinstance(messages[0], Ping):
            assert messages[1] == Claim(A.in_state(NodeState.SUSPECT), "x")
            return
    raise AssertionError("no probe began")


def last_call(under_test: Bench, limit_s: float = 30.0) -> list[Effect]:
    """The effects of the moment of the next last call."""
    before = under_test.swim.statistics().counters.last_calls
    for _ in range(int(limit_s / 0.01)):
        effects = under_test.tick(0.01)
        if under_test.swim.statistics().counters.last_calls > before:
            return effects
    raise AssertionError("no last call")


def test_before_a_member_is_held_dead_it_and_three_others_are_asked_once_more() -> None:
    others = [Member(f"m{number}", f"10.0.2.{number}", 7000, 1) for number in range(9)]
    under_test = bench(A, *others)
    suspect = A.in_state(NodeState.SUSPECT)
    for source in "xyz":
        under_test.hear_of(suspect, source=source)
    effects = last_call(under_test)
    asked: list[str] = []
    for member in (A, *others):
        messages = under_test.sent(effects, member.address)
        if any(isinstance(message, Claim) and message.member == suspect for message in messages):
            assert isinstance(messages[0], Ping)
            assert messages[0].target_id == member.node_id
            asked.append(member.node_id)
    assert len(asked) == 4
    assert asked[0] == "a"
    assert state_of(under_test, "a") is NodeState.SUSPECT


@pytest.mark.parametrize("teller", ["a", "b"])
def test_what_anybody_answers_to_the_last_call_saves_the_accused(teller: str) -> None:
    under_test = bench(A, *OTHERS)
    for source in "xyz":
        under_test.hear_of(A.in_state(NodeState.SUSPECT), source=source)
    last_call(under_test)
    under_test.hear(teller, [ACK, 1], encode_claim(attrs.evolve(A, incarnation=1), "a"))
    under_test.tick(2.0)
    assert state_of(under_test, "a") is NodeState.ALIVE


def test_without_an_answer_to_the_last_call_the_verdict_falls_when_it_would_have() -> None:
    under_test = bench(A, *OTHERS)
    for source in "xyz":
        under_test.hear_of(A.in_state(NodeState.SUSPECT), source=source)
    under_test.tick(3.99)
    assert state_of(under_test, "a") is NodeState.SUSPECT
    under_test.tick(0.02)
    assert state_of(under_test, "a") is NodeState.DEAD


def test_last_calls_have_a_budget_and_the_rest_are_held_dead_without() -> None:
    under_test = bench(A, *OTHERS, last_calls_limit=2)
    for source in "xyz":
        under_test.hear_of(*(m.in_state(NodeState.SUSPECT) for m in (A, *OTHERS)), source=source)
    under_test.tick(4.01)
    counters = under_test.swim.statistics().counters
    assert (counters.last_calls, counters.last_calls_omitted, counters.deaths_declared) == (2, 3, 5)


def test_those_held_down_are_pinged_in_turn_with_what_speaks_against_them() -> None:
    under_test = bench(A, OTHERS[0], gossip_to_dead_s=0.0)
    dead = [member.in_state(NodeState.DEAD) for member in (A, OTHERS[0])]
    under_test.hear_of(*dead)
    under_test.tick(5.0)
    found: list[str] = []
    for _ in range(4_100):
        effects = under_test.tick(0.01)
        for member in dead:
            messages = under_test.sent(effects, member.address)
            if messages and isinstance(messages[0], Ping):
                assert messages[1] == Claim(member, "self")
                found.append(member.node_id)
    assert found in (["a", "b", "a", "b"], ["b", "a", "b", "a"])
    assert under_test.swim.statistics().counters.reminders >= 4


def test_nobody_down_nobody_reminded() -> None:
    under_test = bench(A)
    under_test.tick(0.1)
    under_test.hear_of(A.in_state(NodeState.LEFT))
    under_test.tick(60.0)
    assert under_test.swim.statistics().counters.reminders == 0


def test_a_contradiction_during_the_probe_makes_its_accusation_stale() -> None:
    under_test = bench(A)
    until_probe(under_test)
    under_test.hear_of(Member("a", "10.0.0.2", 7000, 1, incarnation=1))
    under_test.tick(1.0)
    assert state_of(under_test, "a") is NodeState.ALIVE


def test_pings_for_another_name_are_left_unanswered() -> None:
    under_test = bench()
    assert under_test.hear("peer", [PING, 3, "somebody else"]) == []
    assert Ack(3) in under_test.sent(under_test.hear("peer", [PING, 3, "self"]))
    assert under_test.stream("peer", [PING, 3, "somebody else"]) == []
    assert under_test.stream("peer", [PING, 3, "self"]) == [SendStream("peer", None, [ACK, 3])]


def test_a_probe_for_another_ends_in_its_ack() -> None:
    under_test = bench()
    effects = under_test.hear("asker", [PING_REQUEST, 9, "a", *A.address], at=ASKER)
    ping = next(message for message in under_test.sent(effects, A.address) if isinstance(message, Ping))
    assert ping.target_id == "a"
    assert Ack(9) in under_test.sent(under_test.hear("a", [ACK, ping.sequence], at=A.address), ASKER)
    assert Nack(9) not in under_test.sent(under_test.tick(2.0))


def test_a_probe_for_another_without_answer_ends_in_a_nack() -> None:
    under_test = bench()
    under_test.hear("asker", [PING_REQUEST, 9, "a", *A.address], at=ASKER)
    assert under_test.sent(under_test.tick(0.39), ASKER) == []
    assert Nack(9) in under_test.sent(under_test.tick(0.02), ASKER)


def test_probes_for_others_are_bounded() -> None:
    under_test = bench(relay_limit=2)
    for sequence in range(3):
        effects = under_test.hear("asker", [PING_REQUEST, sequence, "a", *A.address], at=ASKER)
    assert Nack(2) in under_test.sent(effects, ASKER)
    assert kinds(under_test, effects, Ping) == []
    assert under_test.swim.statistics().counters.relays_refused == 1


def test_after_a_pause_the_probe_under_way_gets_one_more_timeout() -> None:
    under_test = bench(A)
    ping, target = until_probe(under_test)
    under_test.now_s += 5.0
    effects = under_test.swim.tick(under_test.now_s, under_test.wall_ms)
    assert any(isinstance(effect, Note) and effect.kind is NoteKind.PAUSED for effect in effects)
    under_test.tick(0.3)
    assert state_of(under_test, "a") is NodeState.ALIVE
    under_test.hear("a", [ACK, ping.sequence], at=target.address)
    under_test.tick(1.5)
    assert under_test.swim.statistics().counters.probes_failed == 0


def test_after_a_pause_a_silent_member_is_still_suspected() -> None:
    under_test = bench(A)
    until_probe(under_test)
    under_test.now_s += 5.0
    under_test.swim.tick(under_test.now_s, under_test.wall_ms)
    under_test.tick(1.1)
    assert state_of(under_test, "a") is NodeState.SUSPECT
