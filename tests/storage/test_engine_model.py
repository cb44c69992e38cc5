"""The engine against a plain model: a dictionary, expiry, a limit, and what eviction may take."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dynacache.config.storage import EVICTION_POLICIES
from dynacache.errors import OutOfMemory
from dynacache.storage.engine import Engine
from dynacache.storage.records import deleted_ms, due_of, is_tombstone
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from tests.storage.builders import START_MS, engine_of, key_of, tombstone, value

GRACE_MS = 100_000


class AgainstModel(RuleBasedStateMachine):
    """Random calls at one replica and records made at two others, against a dictionary.

    The model knows what every key should hold; a live key that is not there must be one of those counted as evicted.
    """

    LIMIT_BYTES = 16_000
    PARTITIONS = 4
    KEYS = 16

    @initialize(
        eviction=st.sampled_from(EVICTION_POLICIES),
        ghost_share=st.sampled_from([0.02, 0.2]),
    )
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

    def meet(self, key: bytes) -> None:
        """A call came upon what is held: an expiry takes its effect, but what leaves nothing stays until its second."""
        left = self.held(key)
        if left is not None:
            self.store(key, left)

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
        self.meet(key)
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
        if held is None:
            expected = arriving
        elif arriving is None:
            superseded = not is_tombstone(held) and packed.clean(packed.merge(held, incoming), self.now_ms) is None
            expected = None if superseded else held
        else:
            expected = packed.merge(held, arriving)
        result: list[bytes | None] = []

        def call() -> None:
            result.append(self.engine.merge(self.partition(key), key, incoming, self.now_ms))

        if self.attempt(call):
            assert result == [expected]
            if expected is not None:
                self.store(key, expected)
                self.evicted_keys.pop(key, None)
            elif held is not None:
                self.store(key, None)
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
    def the_trees_are_what_a_rebuild_finds(self) -> None:
        assert all(self.engine.check_trees(partition) for partition in range(self.PARTITIONS))

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
