"""The hint store: bounded, coalesced, never taken and dropped."""

from hypothesis import given
from hypothesis import strategies as st

from dynacache.config import HintConfig
from dynacache.repair.hints import HINT_OVERHEAD_BYTES, SCAN_LIMIT, HintStore
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer


def _record(value: bytes, time: int = 1, issuer: ActorIssuer | None = None) -> bytes:
    return packed.write(None, issuer or ActorIssuer(time), time << 16, 0, 1, value, time)[1]


def test_a_hint_is_found_while_it_exists() -> None:
    store = HintStore(HintConfig())
    record = _record(b"value")
    assert store.add("a", 5, b"key", record, 10, counted=True)
    assert store.find(b"key") == record
    assert store.delivered("a", b"key", record)
    assert store.find(b"key") is None
    assert store.targets() == []
    assert store.total_bytes == 0


def test_hints_of_one_key_are_merged() -> None:
    store = HintStore(HintConfig())
    issuer = ActorIssuer(7)
    first_local, first = packed.write(None, issuer, 1 << 16, 0, 1, b"1", 1)
    _, second = packed.write(first_local, issuer, 2 << 16, 0, 1, b"2", 2)
    store.add("a", 5, b"key", second, 10, counted=False)
    store.add("a", 5, b"key", first, 11, counted=True)
    ((_, hint),) = store.batch("a", 10, 1_000)
    assert hint.record == second
    assert hint.counted, "once counted, always counted"
    assert hint.stored_ms == 10, "a hint's life starts with its first record"


def test_the_budget_refuses_and_drops_nothing() -> None:
    size = 3 + len(_record(b"x" * 100)) + HINT_OVERHEAD_BYTES
    store = HintStore(HintConfig(target_limit_bytes=2 * size, limit_bytes=3 * size))
    assert store.add("a", 1, b"k-1", _record(b"x" * 100), 0, counted=True)
    assert store.add("a", 1, b"k-2", _record(b"x" * 100), 0, counted=True)
    assert not store.add("a", 1, b"k-3", _record(b"x" * 100), 0, counted=True)
    assert store.add("b", 1, b"k-1", _record(b"x" * 100), 0, counted=True)
    assert not store.add("c", 1, b"k-1", _record(b"x" * 100), 0, counted=True)
    assert store.counts() == {"a": 2, "b": 1}


def test_the_count_limit_holds() -> None:
    store = HintStore(HintConfig(target_limit_count=2))
    assert [store.add("a", 1, b"%d" % index, _record(b"v"), 0, counted=False) for index in range(3)] == [
        True,
        True,
        False,
    ]


def test_a_batch_holds_at_least_one_and_the_oldest_first() -> None:
    store = HintStore(HintConfig())
    for index in range(5):
        store.add("a", 1, b"%d" % index, _record(b"x" * 100), index, counted=False)
    assert [key for key, _ in store.batch("a", 3, 10_000)] == [b"0", b"1", b"2"]
    assert [key for key, _ in store.batch("a", 3, 1)] == [b"0"]


def test_hints_near_their_end_are_named_and_kept_until_removed() -> None:
    store = HintStore(HintConfig(lifetime_ms=100))
    store.add("a", 1, b"old", _record(b"v"), 0, counted=False)
    store.add("a", 1, b"new", _record(b"v"), 50, counted=False)
    assert store.ending(74, 25, 10) == []
    ((target, key, hint),) = store.ending(75, 25, 10)
    assert (target, key) == ("a", b"old")
    hint.queued = True
    assert [key for _, key, _ in store.ending(125, 25, 10)] == [b"new"], "what is queued is not named again"
    assert store.counts() == {"a": 2}


def test_one_look_for_ending_hints_is_bounded() -> None:
    store = HintStore(HintConfig(lifetime_ms=100))
    for number in range(SCAN_LIMIT + 10):
        store.add("a", 1, b"%d" % number, _record(b"v"), 0, counted=False)
    assert len(store.ending(100, 25, 50)) == 50
    assert len(store.ending(100, 25, 10**6)) == SCAN_LIMIT


def test_hints_are_found_by_key_and_summed_up_by_target() -> None:
    store = HintStore(HintConfig())
    store.add("a", 1, b"key", _record(b"v"), 1_000, counted=True)
    store.add("b", 1, b"key", _record(b"v"), 2_000, counted=False)
    store.add("b", 1, b"other", _record(b"v"), 3_000, counted=False)
    assert [target for target, _ in store.of_key(b"key")] == ["a", "b"]
    assert store.keys("b") == [b"key", b"other"]
    rows = store.summary(4_000)
    assert [(row["target"], row["hints"], row["oldest_age_ms"]) for row in rows] == [("a", 1, 3_000), ("b", 2, 2_000)]
    assert sum(row["bytes"] for row in rows) == store.total_bytes


_KEYS = st.sampled_from([b"a", b"b", b"c"])
_TARGETS = st.sampled_from(["n1", "n2"])


@given(st.lists(st.tuples(st.booleans(), _TARGETS, _KEYS, st.binary(max_size=300)), max_size=60))
def test_accounting_equals_a_recount(steps: list[tuple[bool, str, bytes, bytes]]) -> None:
    store = HintStore(HintConfig(target_limit_bytes=1_500, limit_bytes=2_200))
    for time, (adding, target, key, value) in enumerate(steps, start=1):
        if adding:
            store.add(target, 1, key, _record(value, time), time, counted=False)
        else:
            store.remove(target, key)
        assert store.total_bytes == store.recount_bytes() <= 2_200


def test_a_key_kept_for_two_owners_is_found_whole_and_never_mints_a_dot_twice() -> None:
    store = HintStore(HintConfig())
    issuer = ActorIssuer(7)
    dots = set()
    for time, target in enumerate(["a", "b", "a", "b", "b", "a"], start=1):
        local, _ = packed.write(store.find(b"key"), issuer, time << 16, 0, 1, b"%d" % time, time)
        assert store.add(target, 5, b"key", local, time, counted=True)
        dots.add(packed.live_dot(local))
        if time == 4:
            store.remove("b", b"key")
        found = store.find(b"key")
        assert found is not None
        assert time == 4 or found == local
    assert len(dots) == 6
    assert store.total_bytes == store.recount_bytes()


def test_minting_over_a_hint_that_came_by_wire_does_not_make_the_clock_grow() -> None:
    store = HintStore(HintConfig())
    issuer = ActorIssuer(7)
    store.add("a", 5, b"key", _record(b"from a peer"), 10, counted=True)
    for time in range(2, 50):
        local, _ = packed.write(store.find(b"key"), issuer, time << 16, 0, 1, b"value", time)
        assert store.add("a", 5, b"key", local, time, counted=True)
        assert local[3] == 2, "the peer's actor and ours"
    assert store.total_bytes == store.recount_bytes()


def test_a_hint_follows_what_its_holder_learns_of_the_key() -> None:
    """Found by the simulator (seed 70): a hint outlived its successor, which every owner had evicted meanwhile."""
    store = HintStore(HintConfig())
    issuer = ActorIssuer(7)
    first_local, first = packed.write(None, issuer, 1 << 16, 0, 1, b"1", 1)
    _, second = packed.write(first_local, issuer, 2 << 16, 0, 1, b"22", 2)
    store.add("a", 5, b"key", first, 10, counted=True)
    store.refresh(b"other", second)
    assert store.find(b"key") == first
    store.refresh(b"key", second)
    assert store.find(b"key") == second
    assert store.total_bytes == store.recount_bytes()
