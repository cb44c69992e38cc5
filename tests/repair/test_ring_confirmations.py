"""Confirmations: what an answered FENCE proves, and for how long."""

import attrs
from pyroaring import BitMap

from dynacache.placement.table import MemberState
from dynacache.repair.copy_state import unpack_state
from dynacache.repair.ring_confirmations import ASK_INTERVAL_S, Confirmations
from dynacache.wire.messages import FENCE, FENCED
from tests.placement.strategies import entry
from tests.repair.ring_world import FakeRing, RingWorld, world

S = MemberState


def begun(state: MemberState = S.LEAVING) -> tuple[Confirmations, FakeRing]:
    """A member that changes its place and has asked the others."""
    fake = world(4, state).fake
    confirmations = Confirmations(fake, fake.table.entries["node-0"])
    confirmations.follow(fake.table)
    confirmations.ask(fake.table)
    return confirmations, fake


def answer(warming: BitMap | None = None) -> list[object]:
    """An answered FENCE."""
    return [FENCED, 1, 7, [b"" if warming is None else bytes(warming.serialize()), b""]]


def test_every_other_member_is_asked_once_an_interval() -> None:
    confirmations, fake = begun()
    assert [name for name, _ in fake.asked] == ["node-1", "node-2", "node-3"]
    fake.asked.clear()
    confirmations.ask(fake.table)
    assert not fake.asked
    fake.now_s += ASK_INTERVAL_S
    confirmations.ask(fake.table)
    assert len(fake.asked) == 3


def test_who_is_away_or_outside_is_not_asked() -> None:
    fake = world(4, S.LEAVING).fake
    fake.down["node-2"] = "dead"
    fake.write_entry(entry("x", S.OUTSIDE))
    confirmations = Confirmations(fake, fake.table.entries["node-0"])
    confirmations.follow(fake.table)
    confirmations.ask(fake.table)
    assert [name for name, _ in fake.asked] == ["node-1", "node-3"]


def test_a_failed_question_may_be_asked_again_at_once() -> None:
    confirmations, fake = begun()
    fake.asked.pop(0)[1].failed()
    fake.asked.clear()
    confirmations.ask(fake.table)
    assert [name for name, _ in fake.asked] == ["node-1"]


def test_an_answer_counts_and_tells_what_is_not_whole() -> None:
    confirmations, fake = begun()
    fake.asked[0][1].answered(answer(BitMap([3])))
    assert confirmations.confirmed == confirmations.claims == {"node-0", "node-1"}
    assert confirmations.incomplete == {"node-1": BitMap([3])}


def test_an_answer_to_what_was_asked_before_our_entry_changed_counts_for_nothing() -> None:
    confirmations, fake = begun()
    own = fake.table.entries["node-0"]
    fake.write_entry(attrs.evolve(own, state=S.RETIRING, version=own.version + 1))
    confirmations.follow(fake.table)
    fake.asked[0][1].answered(answer())
    assert confirmations.confirmed == {"node-0"}
    assert not confirmations.incomplete


def test_a_table_with_another_change_proves_that_ours_is_known_but_not_that_it_is_alone() -> None:
    fake = world(4, S.LEAVING).fake
    fake.write_entry(entry("x", S.JOINING))
    confirmations = Confirmations(fake, fake.table.entries["node-0"])
    confirmations.follow(fake.table)
    confirmations.ask(fake.table)
    fake.asked[0][1].answered(answer())
    assert confirmations.confirmed == {"node-0", "node-1"}
    assert confirmations.claims == set()


def test_a_removal_is_confirmed_by_entry() -> None:
    fake = world(4).fake
    fake.write_entry(fake.table.entries["node-3"].at_removal(1))
    confirmations = Confirmations(fake, fake.table.entries["node-0"])
    confirmations.follow(fake.table)
    confirmations.ask(fake.table)
    asked = list(fake.asked)
    asked[0][1].answered(answer())
    assert confirmations.removals["node-3"][1] == {"node-0", "node-1"}
    fake.write_entry(fake.table.entries["node-3"].at_removal(2))
    confirmations.follow(fake.table)
    asked[1][1].answered(answer())
    assert confirmations.removals["node-3"][1] == {"node-0"}, "who knows of the one need not know of the other"
    fake.write_entry(fake.table.entries["node-3"].at_removal(3))
    confirmations.follow(fake.table)
    assert not confirmations.removals


def test_malformed_answers_count_for_nothing() -> None:
    confirmations, fake = begun()
    for message in ([FENCED, 1, 7], [FENCED, 1, 7, [b"junk", b""]], [FENCED, 1, 7, None]):
        fake.asked[0][1].answered(message)
    assert confirmations.confirmed == {"node-0"}


def test_a_fence_is_answered_with_what_is_not_whole_here() -> None:
    confirmations, fake = begun()
    confirmations.serve(5, [FENCE, 9, 0, fake.digest], RingWorld(fake, warming=BitMap([1, 2]), stale=BitMap([7])))
    kind, request_id, clock, state = fake.replies[0]
    assert (kind, request_id, clock) == (FENCED, 9, 7)
    assert unpack_state(state, 1024) == (BitMap([1, 2]), BitMap([7]))
