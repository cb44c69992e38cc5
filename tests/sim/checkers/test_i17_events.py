"""I17 on made-up evidence: what one node had for its subscribers, and what one of them heard."""

from typing import Any

import attrs
import pytest

from dynacache.types import KeyChange
from dynacache.versioning import packed
from sim.checkers.i17_events import check
from sim.evidence import Evidence, KeyHappening, Subscriber, Told
from sim.history import OperationKind, StoreCause
from tests.sim.story import KEY, Story

SET, DELETE, EXPIRE, EVICT = (int(change) for change in KeyChange)


@attrs.define
class Followed:
    """A story in which node a has a subscriber from the beginning."""

    story: Story = attrs.field(factory=Story)
    happened: list[KeyHappening] = attrs.field(factory=list)
    told: list[Told] = attrs.field(factory=list)
    prefix: bytes = b""
    changes: int = 15

    def __attrs_post_init__(self) -> None:
        asked = self.story.step()
        self.had(1, b"")
        self.hear("subscribed", asked_sequence=asked)

    def had(self, change: int, key: bytes = KEY, node: str = "a") -> None:
        """Let the node have an event for what its store has just done."""
        at_s = self.story.events[-1].at_s if self.story.events else 0.0
        sequence = self.story.sequence = self.story.sequence + 1
        incarnation = self.story.issuers[node].incarnation
        self.happened.append(KeyHappening(sequence, at_s, node, incarnation, change, key, int(at_s * 1000)))

    def hear(self, kind: str, place: int | None = None, **what: Any) -> None:
        """Let the subscriber hear something; with a place, the event that came there in what happened."""
        if place is not None:
            each = [event for event in self.happened if event.key][place]
            what |= {"change": each.change, "key": each.key, "event_ms": each.hybrid_ms}
        self.told.append(Told(self.story.step(), self.story.now_s, "subscriber0", "a", kind, **what))

    def sets(self, count: int) -> None:
        """Let the node mint values, and have an event of each."""
        for number in range(count):
            self.story.mint("a", b"%d" % number)
            self.had(SET)

    def evidence(self, **more: Any) -> Evidence:
        """Freeze it, in the middle of a run."""
        subscribers = (Subscriber("subscriber0", self.prefix, self.changes, 1),)
        given = {"happenings": tuple(self.happened), "told": tuple(self.told), "subscribers": subscribers}
        return self.story.evidence(**(given | more))

    def texts(self, **more: Any) -> list[str]:
        """Judge it."""
        found = check(self.evidence(**more))
        assert {violation.invariant for violation in found} <= {"I17"}
        return [violation.text for violation in found]


def test_what_happened_and_is_told_in_order_holds() -> None:
    followed = Followed()
    followed.sets(3)
    for place in range(3):
        followed.hear("event", place)
    followed.hear("quiet", asked_sequence=followed.story.step())
    assert followed.texts() == []


def test_a_loss_that_is_counted_rightly_holds() -> None:
    followed = Followed()
    followed.sets(4)
    followed.hear("lost", count=3)
    followed.hear("event", 3)
    followed.hear("quiet", asked_sequence=followed.story.step())
    assert followed.texts() == []


@pytest.mark.parametrize("count", [1, 2])
def test_a_loss_that_is_counted_wrongly_is_a_breach(count: int) -> None:
    followed = Followed()
    followed.sets(5)
    followed.hear("lost", count=count)
    followed.hear("event", 3)
    assert "heard set of b'k0' of a" in followed.texts()[0]


def test_what_is_left_out_silently_is_a_breach() -> None:
    followed = Followed()
    followed.sets(2)
    followed.hear("event", 1)
    assert len(followed.texts()) == 1


def test_what_is_told_twice_or_in_another_order_is_a_breach() -> None:
    twice = Followed()
    twice.sets(2)
    twice.hear("event", 0)
    twice.hear("event", 0)
    assert len(twice.texts()) == 1
    turned = Followed()
    turned.sets(2)
    turned.hear("event", 1)
    turned.hear("event", 0)
    assert len(turned.texts()) == 1


def test_an_answer_of_nothing_means_that_all_was_told() -> None:
    followed = Followed()
    followed.sets(2)
    followed.hear("event", 0)
    followed.hear("quiet", asked_sequence=followed.story.step())
    assert len(followed.texts()) == 1


def test_who_cannot_know_may_have_lost_any_number() -> None:
    followed = Followed()
    followed.sets(5)
    followed.hear("subscribed", asked_sequence=followed.story.step())
    followed.hear("lost", count=None)
    followed.sets(1)
    followed.hear("event", 5)
    assert followed.texts() == []
    followed.told = [each for each in followed.told if each.kind != "lost"]
    assert len(followed.texts()) == 1, "a new subscription without a word of what was lost"


def test_only_what_was_asked_for_counts() -> None:
    followed = Followed(prefix=b"x", changes=SET)
    followed.sets(2)
    followed.hear("quiet", asked_sequence=followed.story.step())
    assert followed.texts() == []


def test_an_event_for_nothing_is_a_breach() -> None:
    followed = Followed()
    followed.sets(1)
    followed.had(SET)
    assert "for nothing that happened" in followed.texts()[0]
    followed = Followed()
    followed.sets(1)
    followed.had(EXPIRE)
    assert "for nothing that happened" in followed.texts()[0]


def test_expiry_and_eviction_are_told_by_what_the_store_did() -> None:
    followed = Followed()
    followed.sets(1)
    followed.story.drop("a", StoreCause.EVICT)
    followed.had(EVICT)
    followed.sets(1)
    followed.story.drop("a", StoreCause.EXPIRE)
    followed.had(EXPIRE)
    assert followed.texts() == []


def test_a_version_without_an_event_is_a_breach() -> None:
    followed = Followed()
    followed.story.mint("a", b"v")
    assert "had no event" in followed.texts()[0]
    followed.had(0, b"")
    followed.story.mint("a", b"w")
    assert len(followed.texts()) == 1, "nobody listens any more"


def test_a_touch_may_mint_without_an_event() -> None:
    followed = Followed()
    begun = followed.story.step()
    followed.story.mint("a", b"v")
    followed.story.call(OperationKind.TOUCH, begun=begun)
    assert followed.texts() == []


def test_a_delete_that_found_a_value_is_told() -> None:
    followed = Followed()
    followed.sets(1)
    followed.story.delete("a")
    assert "(delete) and had no event" in followed.texts()[0]
    followed.had(DELETE)
    assert followed.texts() == []


def test_a_delete_that_found_nothing_need_not_be_told() -> None:
    followed = Followed()
    followed.story.remove("a")
    assert followed.texts() == []


def test_a_delete_need_not_have_found_what_a_blind_delete_hides() -> None:
    """Seed 153: the value of one side of a cut, older than the delete of the other, which had not seen it."""
    followed = Followed()
    followed.sets(1)
    story = followed.story
    story.ticks += 1
    blind, _ = packed.delete(None, story.issuers["b"], (story.now_ms() << 16) + story.ticks, story.now_ms(), blind=True)
    story.put("b", blind)
    story.merge("b", "a")
    story.delete("a")
    assert followed.texts() == []


def test_a_delete_need_not_have_found_what_came_after_it_was_called() -> None:
    followed = Followed()
    begun = followed.story.step()
    followed.sets(1)
    followed.story.remove("a")
    followed.story.call(OperationKind.DELETE, begun=begun)
    assert followed.texts() == []


def test_an_expiry_is_told_once_when_all_is_calm() -> None:
    followed = Followed()
    followed.sets(1)
    followed.story.merge("a", "b")
    calm = followed.story.step()
    for node in "ab":
        followed.story.drop(node, StoreCause.EXPIRE)
        followed.had(EXPIRE, node=node)
    followed.hear("event", 0)
    followed.hear("event", 1)
    followed.hear("quiet", asked_sequence=followed.story.step())
    quiet = followed.told[-1]
    told = tuple(attrs.evolve(quiet, node_id=node, kind=kind) for node in "bc" for kind in ("subscribed", "quiet"))
    more = {"calm_sequence": calm, "told": (*followed.told, *told)}
    assert followed.texts(**more) == ["a, b all told of its expiry, though they reach each other"]
    del followed.happened[-1]
    assert followed.texts(**more) == []
    del followed.happened[-1], followed.told[-2]
    more["told"] = (*followed.told, *told)
    assert followed.texts(**more) == ["a did not tell of its expiry"]


def test_at_the_end_every_node_was_asked() -> None:
    followed = Followed()
    followed.hear("quiet", asked_sequence=followed.story.step())
    texts = followed.texts(calm_sequence=10**6)
    assert texts == [f"subscriber0 has not been told by {node} in the end that there is nothing more" for node in "bc"]
    followed.hear("refused")
    assert followed.texts(calm_sequence=1) == []


def test_without_subscribers_nothing_is_judged() -> None:
    followed = Followed()
    followed.sets(1)
    followed.had(SET)
    assert followed.texts(subscribers=()) == []
