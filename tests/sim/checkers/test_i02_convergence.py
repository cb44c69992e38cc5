from typing import Any

import attrs

from dynacache.versioning import packed
from sim.checkers.i02_convergence import check
from sim.evidence import Evidence
from sim.faults.schedule import Fault
from sim.history import StoreCause
from tests.sim.story import KEY, Story


def test_owners_that_hold_the_same_versions_have_converged() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    assert check(story.evidence()) == []


def test_an_owner_that_missed_a_write_is_found() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.set("a", b"2:", "b")
    assert [violation.key for violation in check(story.evidence())] == [KEY]


def test_an_owner_without_the_key_is_found() -> None:
    story = Story()
    story.set("a", b"1:", "b")
    assert len(check(story.evidence())) == 1


def test_eviction_makes_no_difference_until_the_key_is_held_again() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.drop("c", StoreCause.EVICT)
    assert check(story.evidence()) == []
    story.put("c", story.held["a", KEY], cause=StoreCause.MERGE)
    story.drop("c", StoreCause.REMOVE)
    assert len(check(story.evidence())) == 1


def test_an_eviction_of_what_others_hold_excuses_only_its_owner() -> None:
    story = Story(names=("a", "b", "c", "d"))
    story.set("a", b"1:", "b", "c", "d")
    story.set("a", b"2:", "b", "d")
    story.drop("d", StoreCause.EVICT)
    (violation,) = check(story.evidence())
    assert [name in violation.text for name in ("a 01", "b 01", "c 01", "d 01")] == [True, True, True, False]
    story.merge("a", "c")
    assert check(story.evidence()) == []


def test_an_eviction_before_the_loss_of_memory_excuses_nobody() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.drop("c", StoreCause.EVICT)
    story.restart("c")
    assert len(check(story.evidence())) == 1


def with_c(story: Story, **fields: Any) -> Evidence:
    """The story's end, with c as given."""
    evidence = story.evidence()
    return attrs.evolve(evidence, snapshots=evidence.snapshots | {"c": attrs.evolve(evidence.snapshots["c"], **fields)})


def test_a_full_store_may_lack_what_it_refused_and_nothing_else() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.delete("a", "b")
    assert check(with_c(story, refused=frozenset({KEY}))) == []
    assert len(check(with_c(story, refused=frozenset({b"another"})))) == 1
    assert len(check(with_c(story, used_bytes=story.options.storage_limit_bytes))) == 1


def test_a_full_store_declines_what_it_does_not_hold() -> None:
    story = Story()
    story.set("a", b"1:", "b")
    assert check(with_c(story, used_bytes=story.options.storage_limit_bytes)) == []
    assert len(check(with_c(story, used_bytes=1_000))) == 1
    assert check(with_c(story, used_bytes=1_000, without_room=frozenset({""}))) == []
    assert len(check(with_c(story, used_bytes=1_000, without_room=frozenset({"other"})))) == 1


def test_a_limit_that_was_lowered_for_a_while_excuses_nobody_afterwards() -> None:
    story = Story()
    story.set("a", b"1:", "b")
    lowered = Fault(1.0, "memory", {"node": "c", "limit_bytes": 1, "duration_s": 1.0})
    assert len(check(story.evidence(faults=(lowered,)))) == 1


def test_what_has_expired_is_nothing_whether_it_was_cleaned_or_not() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c", ttl_ms=20)
    story.now_s += 1
    story.drop("a", StoreCause.EXPIRE)
    assert check(story.evidence()) == []
    assert packed.clean(packed.strip_local(story.held["b", KEY]), story.now_ms()) is None


def test_hints_that_did_not_drain_are_found() -> None:
    assert [violation.key for violation in check(Story().evidence(converged=False))] == [None]


def test_a_run_that_ended_early_is_not_judged() -> None:
    assert check(Story().evidence(converged=False, stopped_early="an exception")) == []


def test_who_was_filled_by_a_former_owner_that_had_evicted_a_version_has_taken_over_what_it_remembers() -> None:
    """Seed 491: d evicted the key, and c, which has been given its place, was filled by it."""
    story = Story(names=("a", "b", "c", "d"))
    story.set("a", b"1:", "b", "d")
    (time,) = {packed.HEADER.unpack_from(record)[5] for record in story.held.values()}
    owners: dict[bytes, tuple[str, ...]] = {KEY: ("a", "b", "c")}
    for evicted, remembered, found in (
        (False, {KEY: time}, 1),  # nobody has evicted it: c ought to have been given it
        (True, {}, 1),
        (True, {b"another": time}, 1),
        (True, {KEY: time - 1}, 1),
        (True, {KEY: time + 1}, 1),
        (True, {KEY: time}, 0),
    ):
        if evicted and ("d", KEY) in story.held:
            story.drop("d", StoreCause.EVICT)
        evidence = with_c(story, remembered=remembered)
        assert len(check(attrs.evolve(evidence, owners=owners))) == found, (evicted, remembered)


def test_what_is_remembered_of_an_older_version_excuses_nobody() -> None:
    story = Story(names=("a", "b", "c", "d"))
    story.set("a", b"1:", "b", "d")
    story.drop("d", StoreCause.EVICT)
    time = packed.HEADER.unpack_from(story.held["a", KEY])[5]
    story.set("a", b"2:", "b")
    evidence = attrs.evolve(with_c(story, remembered={KEY: time}), owners={KEY: ("a", "b", "c")})
    assert len(check(evidence)) == 1


def test_an_older_version_behind_an_evicted_one_is_not_repaired() -> None:
    """Seed 561: the newest was evicted, one owner had an older one, one had lost its memory; no read may return it."""
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.set("a", b"2:")
    story.drop("a", StoreCause.EVICT)
    story.drop("c", StoreCause.LOST)
    assert check(story.evidence()) == []
