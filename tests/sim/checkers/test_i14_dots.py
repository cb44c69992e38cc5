import attrs

from dynacache.versioning import kernel
from dynacache.versioning.actors import ActorIssuer
from dynacache.versioning.layout import decode, encode
from sim.checkers.i14_dots import check
from sim.history import OperationKind, StoreCause
from tests.sim.story import KEY, Story


def texts(story: Story) -> list[str]:
    return [violation.text for violation in check(story.evidence())]


def test_a_life_with_siblings_restarts_and_eviction_is_clean() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.set("a", b"2:")
    story.set("c", b"3:", "b")
    story.merge("a", "b")
    story.restart("a")
    story.merge("b", "a")
    story.drop("c", StoreCause.EVICT)
    story.set("a", b"4:", "b", "c")
    story.delete("b", "a", "c")
    assert texts(story) == []


def test_a_dot_minted_twice_is_found() -> None:
    story = Story()
    story.set("a", b"1:", "b")
    story.drop("a", StoreCause.LOST)
    story.issuers["a"] = ActorIssuer(story.issuers["a"].incarnation)
    story.set("a", b"2:")
    assert any("another version" in text for text in texts(story))


def test_a_dot_that_nobody_minted_is_found() -> None:
    story = Story()
    story.set("a", b"1:")
    story.put("c", story.held.pop(("a", KEY)), cause=StoreCause.MERGE)
    assert texts(story) == []
    story.events = [event for event in story.events if event.node_id == "c"]
    assert ["nobody minted" in text for text in texts(story)] == [True]


def test_a_merge_that_drops_a_concurrent_write_is_found() -> None:
    story = Story()
    story.set("a", b"1:")
    story.set("b", b"2:")
    both = {**decode(story.held["a", KEY]).context, **decode(story.held["b", KEY]).context}
    newest = kernel.State(both, frozenset(), decode(story.held["b", KEY]).dots)
    story.put("a", encode(newest, 0), cause=StoreCause.MERGE)
    assert any("had superseded nothing" in text for text in texts(story))


def test_a_merge_that_replaces_without_having_seen_is_found() -> None:
    story = Story()
    story.set("a", b"1:")
    story.set("b", b"2:")
    story.put("a", story.held["b", KEY], cause=StoreCause.MERGE)
    assert any("had not seen it" in text for text in texts(story))


def test_a_clock_that_forgets_is_found() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.set("b", b"2:", "a", "c")
    state = decode(story.held["c", KEY])
    (dot,) = state.dots
    short = encode(attrs.evolve(state, context={dot[0]: dot[1]}), 0)
    story.put("c", short, cause=StoreCause.MERGE)
    assert any("forgot what it had seen" in text for text in texts(story))


def test_a_plain_set_that_covers_what_its_coordinator_did_not_hold_is_found() -> None:
    story = Story()
    story.set("a", b"1:")
    token = story.mint("a", b"2:")
    story.set("b", b"3:", context=token)
    assert any("did not hold" in text for text in texts(story))


def test_a_touch_that_writes_a_value_again_covers_what_it_has_read() -> None:
    story = Story()
    story.set("a", b"1:", ttl_ms=60_000)
    token = story.mint("a", b"2:")
    begun = story.step()
    story.mint("b", b"1:", context=token)
    assert any("did not hold" in text for text in texts(story))
    story.call(OperationKind.TOUCH, begun=begun, ttl_s=1.0)
    assert texts(story) == []


def test_a_plain_set_over_what_has_expired_there_follows_its_clock() -> None:
    story = Story()
    story.mint("a", b"0:")
    begun = story.step()
    token = story.mint("a", b"1:", ttl_ms=10)
    story.call(OperationKind.SET, begun=begun, value=b"1:")
    story.drop("a", StoreCause.EXPIRE)
    story.set("a", b"2:", context=token)
    assert texts(story) == []
    story.set("b", b"3:", context=token)
    assert any("b did not hold" in text for text in texts(story))
