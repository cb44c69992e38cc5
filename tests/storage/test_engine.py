"""The engine against a plain model: dictionary, expiry, limit; and its promises one by one."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dynacache.errors import OutOfMemory
from dynacache.storage.engine import Engine
from dynacache.storage.records import deleted_ms, due_of, is_tombstone
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from tests.storage.builders import START_MS, engine_of, key_of, tombstone, value

GRACE_MS = 100_000


def test_what_was_put_is_returned_by_get_peek_and_items() -> None:
    engine = engine_of()
    record = value()
    engine.put(3, b"key", record)
    assert engine.get(3, b"key", START_MS) is record
    assert engine.peek(3, b"key") is record
    assert engine.items(3) == [(b"key", record)]
    assert engine.get(2, b"key", START_MS) is None
    assert engine.items(2) == []


def test_namespaces_are_apart() -> None:
    engine = engine_of()
    first, second = value(1, ttl_ms=1_000), value(2, ttl_ms=1_000)
    engine.put(1, b"key", first)
    engine.put(1, b"key", second, namespace=2)
    assert engine.get(1, b"key", START_MS) is first
    assert engine.get(1, b"key", START_MS, namespace=2) is second
    assert engine.peek(1, b"key", namespace=1) is None
    assert engine.missing(1, b"key", namespace=1) is None
    assert engine.items(1, namespace=2) == [(b"key", second)]
    assert engine.remove(1, b"key", namespace=2)
    assert engine.peek(1, b"key") is first
    assert engine.usage() == engine.recount()
    assert engine.collect(START_MS + 2_000) == 1


def test_an_entry_ends_to_the_millisecond_for_readers_and_is_freed_without_being_read() -> None:
    engine = engine_of()
    engine.put(0, b"read", value(ttl_ms=1_500))
    engine.put(0, b"unread", value(ttl_ms=1_500))
    assert engine.get(0, b"read", START_MS + 1_499) is not None
    assert engine.get(0, b"read", START_MS + 1_500) is None
    assert engine.statistics().entries == 1
    assert engine.next_deadline_ms() == START_MS + 2_000
    assert engine.collect(START_MS + 1_999) == 0
    assert engine.collect(START_MS + 2_000) == 1
    assert engine.items(0) == []
    assert engine.missing(0, b"unread") is None, "expired is not evicted"
    assert engine.next_deadline_ms() is None


def test_an_expiry_that_an_older_version_could_outlive_leaves_a_tombstone() -> None:
    engine = engine_of(gc_grace_min_ms=1, gc_grace_max_ms=GRACE_MS)
    forever = value()
    brief = value(old=forever, now_ms=START_MS + 1, ttl_ms=50)
    engine.put(0, b"key", brief)
    left = engine.get(0, b"key", START_MS + 60)
    assert left is not None
    assert is_tombstone(left)
    assert engine.peek(0, b"key") == left
    assert engine.merge(0, b"key", packed.strip_local(forever), START_MS + 70) is left, "it does not come back"
    engine.collect(START_MS + 51 + GRACE_MS - 1)
    assert engine.peek(0, b"key") == left
    engine.collect(START_MS + 51 + GRACE_MS)
    assert engine.peek(0, b"key") is None


def test_a_longer_life_given_by_a_touch_is_what_counts() -> None:
    engine = engine_of()
    record = value(ttl_ms=1_000)
    engine.put(0, b"key", record)
    engine.put(0, b"key", packed.touch(record, START_MS + 9_000))
    engine.collect(START_MS + 2_000)
    assert engine.get(0, b"key", START_MS + 8_999) is not None
    engine.collect(START_MS + 9_000)
    assert engine.items(0) == []


def test_merge_drops_what_has_already_expired() -> None:
    engine = engine_of()
    assert engine.merge(0, b"key", value(ttl_ms=10), START_MS + 10) is None
    assert engine.items(0) == []
    held = value(now_ms=START_MS + 20)
    engine.put(0, b"key", held)
    assert engine.merge(0, b"key", value(ttl_ms=10), START_MS + 20) is held


def test_an_expired_arrival_still_ends_what_it_superseded() -> None:
    engine = engine_of()
    forever = value()
    engine.put(0, b"key", forever)
    brief = packed.strip_local(value(old=forever, now_ms=START_MS + 1, ttl_ms=5))
    left = engine.merge(0, b"key", brief, START_MS + 50)
    assert left is not None
    assert is_tombstone(left)
    assert engine.items(0) == [(b"key", left)]
    again = value(old=left, now_ms=START_MS + 60)
    engine.put(0, b"key", again)
    assert engine.items(0) == [(b"key", again)]


def siblings(short_ms: int, long_ms: int) -> bytes:
    """Return two concurrent versions that expire at different times."""
    first = value(100, ttl_ms=short_ms, issuer=ActorIssuer(7))
    second = value(100, ttl_ms=long_ms, issuer=ActorIssuer(8))
    return packed.merge(packed.strip_local(first), packed.strip_local(second))


def test_siblings_expire_one_after_the_other_without_being_read() -> None:
    engine = engine_of()
    engine.put(0, b"key", siblings(1_000, 9_000))
    assert engine.collect(START_MS + 1_000) == 1
    assert engine.peek(0, b"key") == packed.clean(siblings(1_000, 9_000), START_MS + 1_000)
    assert engine.next_deadline_ms() == START_MS + 9_000
    assert engine.collect(START_MS + 9_000) == 1
    assert engine.items(0) == []
    assert engine.usage() == engine.recount()


def test_the_ghost_of_siblings_outlives_the_first_of_them() -> None:
    engine = engine_of(1, limit_bytes=60_000)
    engine.put(0, b"key", siblings(1_000, 900_000))
    for number in range(200):
        engine.put(0, key_of(number), value(300, now_ms=START_MS + 1))
    assert engine.peek(0, b"key") is None
    engine.collect(START_MS + 5_000)
    assert engine.missing(0, b"key") is not None


def test_merge_returns_the_very_record_when_nothing_is_new() -> None:
    engine = engine_of()
    old = value()
    new = value(old=old, now_ms=START_MS + 1)
    engine.put(0, b"key", new)
    assert engine.merge(0, b"key", packed.strip_local(old), START_MS + 1) is new
    assert engine.peek(0, b"key") is new


def test_an_evicted_key_is_told_from_one_never_seen() -> None:
    engine = engine_of(1, limit_bytes=60_000)
    for number in range(300):
        engine.put(0, key_of(number), value(300, now_ms=START_MS + number))
    gone = [number for number in range(300) if engine.peek(0, key_of(number)) is None]
    assert len(gone) == engine.evicted > 100
    remembered = {number: engine.missing(0, key_of(number)) for number in gone}
    assert all(time in (0, (START_MS + number) << 16) for number, time in remembered.items())
    assert all(remembered[number] for number in gone[-50:]), "the youngest are remembered"
    never = engine.missing(0, b"never")
    assert never == (0 if engine.statistics().forgetful_partitions else None)
    engine.put(0, key_of(gone[-1]), value())
    engine.remove(0, key_of(gone[-1]))
    assert engine.missing(0, key_of(gone[-1])) == never


def test_a_ghost_without_overflow_leaves_other_misses_certain() -> None:
    engine = engine_of(1, limit_bytes=60_000)
    number = 0
    while not engine.evicted:
        engine.put(0, key_of(number), value(300))
        number += 1
    assert engine.missing(0, b"never") is None
    gone = [key_of(n) for n in range(number) if engine.peek(0, key_of(n)) is None]
    assert gone
    assert {engine.missing(0, key) for key in gone} == {START_MS << 16}


@pytest.mark.parametrize("which", ["warming", "stale"])
def test_tombstones_of_incomplete_partitions_are_not_reaped(which: str) -> None:
    engine = engine_of(gc_grace_min_ms=1, gc_grace_max_ms=GRACE_MS)
    getattr(engine, which).add(1)
    engine.put(1, b"kept", tombstone())
    engine.put(2, b"reaped", tombstone())
    assert engine.next_deadline_ms() == START_MS + GRACE_MS
    engine.collect(START_MS + GRACE_MS)
    assert engine.peek(2, b"reaped") is None
    assert engine.peek(1, b"kept") is not None
    getattr(engine, which).discard(1)
    deadline_ms = engine.next_deadline_ms()
    assert deadline_ms is not None
    engine.collect(deadline_ms)
    assert engine.peek(1, b"kept") is None


def test_a_slice_of_clean_up_ends_at_its_budget() -> None:
    engine = engine_of(collect_count=100)
    for number in range(1_000):
        engine.put(number % 4, key_of(number), value(ttl_ms=5_000))
    now_ms = START_MS + 5_000
    for _ in range(10):
        assert engine.next_deadline_ms() == now_ms
        assert engine.collect(now_ms) == 100
    assert engine.collect(now_ms) == 0
    assert engine.statistics().expired == 1_000
    assert engine.usage() == engine.recount()


def test_a_lowered_limit_is_reached_in_slices() -> None:
    engine = engine_of(limit_bytes=200_000)
    for number in range(300):
        engine.put(number % 4, key_of(number), value(300))
    engine.set_limit(60_000)
    assert engine.next_deadline_ms() is not None
    slices = 0
    while engine.usage().total_bytes > 60_000:
        assert engine.collect(START_MS, 20) <= 20
        slices += 1
    assert slices > 5
    assert engine.next_deadline_ms() is None


def test_two_hundred_entries_over_a_thousand_partitions() -> None:
    engine = engine_of(1024, limit_bytes=1_200_000, ghost_share=0.03)
    for number in range(2_000):
        engine.put(number * 37 % 1024, key_of(number), value(3_000))
        assert engine.get(5, b"hot", START_MS) is not None or number == 0
        if number == 0:
            engine.put(5, b"hot", value(3_000))
    assert engine.evicted > 1_500
    kept = [number for number in range(2_000) if engine.peek(number * 37 % 1024, key_of(number))]
    assert sum(number >= 1_500 for number in kept) / len(kept) > 0.8


class AgainstModel(RuleBasedStateMachine):
    """Random calls at one replica and records made at two others, against a dictionary.

    The model knows what every key should hold; a live key that is not there must be one of those counted as evicted.
    """

    LIMIT_BYTES = 16_000
    PARTITIONS = 4
    KEYS = 16

    @initialize(eviction=st.sampled_from(["lru", "lru", "noeviction"]), ghost_share=st.sampled_from([0.02, 0.2]))
    def start(self, eviction: str, ghost_share: float) -> None:
        self.engine: Engine = engine_of(
            self.PARTITIONS,
            limit_bytes=self.LIMIT_BYTES,
            eviction=eviction,
            ghost_share=ghost_share,
            tombstone_share=0.1,
            gc_grace_min_ms=1,
            gc_grace_max_ms=GRACE_MS,
            largest_value_bytes=20_000,
        )
        self.issuers = [ActorIssuer(number) for number in (11, 22)]
        self.model: dict[bytes, bytes] = {}
        self.elsewhere: dict[bytes, bytes] = {}
        self.evicted_keys: dict[bytes, tuple[int, int]] = {}
        self.now_ms = START_MS
        self.refusals = 0

    keys = st.integers(0, KEYS - 1).map(key_of)
    lives = st.sampled_from([0, 0, 700, 5_000, 60_000, 7_200_000])
    lengths = st.sampled_from([0, 1, 64, 500, 511, 1_500, 3_000])

    def partition(self, key: bytes) -> int:
        return int(key[4:]) % self.PARTITIONS

    def held(self, key: bytes) -> bytes | None:
        """What the model says is there now; expiry is applied when a call meets it."""
        record = self.model.get(key)
        return None if record is None else packed.clean(record, self.now_ms)

    def store(self, key: bytes, record: bytes | None) -> None:
        self.model.pop(key, None)
        if record is not None:
            self.model[key] = record

    def attempt(self, call: Any, *arguments: Any) -> bool:
        """Make a call that may be refused; return whether it was done, having checked that a refusal changed nothing
        but evictions and expiries."""
        before = dict(self.model)
        try:
            call(*arguments)
        except OutOfMemory:
            assert self.model == before
            self.refusals += 1
            self.follow(None)
            return False
        return True

    def follow(self, written: bytes | None) -> None:
        """Take out of the model what was evicted to make room, and remember what its ghost must tell. A victim that
        had expired leaves what its expiry leaves."""
        for key, record in list(self.model.items()):
            actual = self.engine.peek(self.partition(key), key)
            if key == written or actual == record:
                continue
            assert not is_tombstone(record), "tombstones are never evicted"
            left = packed.clean(record, self.engine._now_ms)
            if actual is None and left is not None and not is_tombstone(left):
                expire_ms = int.from_bytes(left[13:21], "big") if left[1] == packed.VALUE else 0
                self.evicted_keys[key] = (int.from_bytes(left[5:13], "big"), expire_ms)
            else:
                assert actual == left
            self.store(key, actual)

    @rule(key=keys)
    def get(self, key: bytes) -> None:
        expected = self.held(key)
        assert self.engine.get(self.partition(key), key, self.now_ms) == expected
        self.store(key, expected)
        self.follow(key)

    @rule(key=keys, length=lengths, ttl_ms=lives, issuer=st.integers(0, 1))
    def write(self, key: bytes, length: int, ttl_ms: int, issuer: int) -> None:
        self.get(key)
        old = self.held(key)
        record = value(length, old=old, now_ms=self.now_ms, ttl_ms=ttl_ms, issuer=self.issuers[issuer])
        if self.attempt(self.engine.put, self.partition(key), key, record):
            self.store(key, record)
            self.evicted_keys.pop(key, None)
            self.follow(key)
            assert self.engine.peek(self.partition(key), key) is record

    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        self.get(key)
        old = self.held(key)
        record = tombstone(old=old, now_ms=self.now_ms, issuer=self.issuers[0])
        if self.attempt(self.engine.put, self.partition(key), key, record):
            self.store(key, record)
            self.evicted_keys.pop(key, None)
            self.follow(key)

    @rule(key=keys, length=lengths, ttl_ms=lives, deletes=st.booleans())
    def write_elsewhere(self, key: bytes, length: int, ttl_ms: int, deletes: bool) -> None:
        old = self.elsewhere.get(key)
        if deletes:
            made = tombstone(old=old, now_ms=self.now_ms, issuer=ActorIssuer(33, len(self.elsewhere)))
        else:
            issuer = ActorIssuer(44 + len(self.elsewhere))
            made = value(length, old=old, now_ms=self.now_ms, ttl_ms=ttl_ms, issuer=issuer)
        self.elsewhere[key] = made

    @precondition(lambda self: bool(self.elsewhere))
    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.elsewhere)))
        incoming = packed.strip_local(self.elsewhere[key])
        held, arriving = self.held(key), packed.clean(incoming, self.now_ms)
        if held is None or arriving is None:
            expected = arriving if held is None else held
        else:
            expected = packed.merge(held, arriving)
        result: list[bytes | None] = []

        def call() -> None:
            result.append(self.engine.merge(self.partition(key), key, incoming, self.now_ms))

        if self.attempt(call):
            assert result == [expected]
            self.store(key, expected)
            if expected is not None:
                self.evicted_keys.pop(key, None)
            self.follow(key)

    @rule(key=keys)
    def remove(self, key: bytes) -> None:
        there = self.engine.peek(self.partition(key), key) is not None
        assert self.engine.remove(self.partition(key), key) == there
        self.store(key, None)

    @rule(step_ms=st.sampled_from([1, 400, 999, 30_000, 3_700_000]))
    def pass_time(self, step_ms: int) -> None:
        self.now_ms += step_ms

    @rule(partition=st.integers(0, 3), holds=st.booleans())
    def warm(self, partition: int, holds: bool) -> None:
        (self.engine.warming.add if holds else self.engine.warming.discard)(partition)

    @rule(budget=st.sampled_from([1, 7, 1_000]))
    def collect(self, budget: int) -> None:
        expired = {
            key
            for key, record in self.model.items()
            if due_of(record) and due_of(record) * 1_000 <= self.now_ms and not is_tombstone(record)
        }
        tombstones = {key: record for key, record in self.model.items() if is_tombstone(record)}
        self.engine.collect(self.now_ms, budget)
        for key, record in tombstones.items():
            if self.engine.peek(self.partition(key), key) is None:
                assert self.may_be_reaped(key, record)
                del self.model[key]
        for key in expired:
            record = self.model[key]
            now = self.engine.peek(self.partition(key), key)
            left = packed.clean(record, self.now_ms)
            assert now in (record, left) or (now is None and left is not None and self.may_be_reaped(key, left))
            assert budget < 1_000 or now != record, "all that was due is done within the budget"
            self.store(key, now)
        self.follow(None)

    def may_be_reaped(self, key: bytes, record: bytes) -> bool:
        is_overdue = is_tombstone(record) and deleted_ms(record) + GRACE_MS <= self.now_ms
        return is_overdue and self.partition(key) not in self.engine.warming

    @invariant()
    def the_account_is_what_a_recount_finds(self) -> None:
        usage = self.engine.usage()
        assert usage == self.engine.recount()
        assert self.engine._used_bytes == usage.total_bytes

    @invariant()
    def the_limit_holds(self) -> None:
        statistics = self.engine.statistics()
        total = statistics.usage.total_bytes
        growth_of_a_dictionary = 2_400
        slack = growth_of_a_dictionary if self.engine.settings.eviction == "noeviction" else 0
        assert total <= self.LIMIT_BYTES + slack or statistics.entries <= 1

    @invariant()
    def everything_the_model_knows_is_there_and_nothing_else(self) -> None:
        stored = {key: record for partition in range(self.PARTITIONS) for key, record in self.engine.items(partition)}
        for key, record in stored.items():
            assert self.model.get(key) == record
        assert stored.keys() == self.model.keys()

    @invariant()
    def the_wheel_holds_exactly_what_expires(self) -> None:
        expected = {
            (self.partition(key), key): due_of(record)
            for key, record in self.model.items()
            if due_of(record) and not is_tombstone(record)
        }
        assert self.engine._wheel.contents() == expected

    @invariant()
    def evicted_keys_are_told_from_absent_ones(self) -> None:
        forgot = self.engine._ghosts.forgot
        for key, (time, expire_ms) in self.evicted_keys.items():
            answer = self.engine.missing(self.partition(key), key)
            is_forgotten = answer == 0 and self.partition(key) in forgot
            is_over = answer is None and 0 < expire_ms <= self.engine._now_ms
            assert answer == time or is_forgotten or is_over
        assert self.engine.statistics().refused == self.refusals
        for number in range(self.KEYS):
            if key_of(number) not in self.model and key_of(number) not in self.evicted_keys:
                assert self.engine.missing(self.partition(key_of(number)), key_of(number)) in (
                    None,
                    *([0] if number % self.PARTITIONS in forgot else []),
                )


TestAgainstModel = AgainstModel.TestCase
TestAgainstModel.settings = settings(max_examples=120, stateful_step_count=60, deadline=None)
