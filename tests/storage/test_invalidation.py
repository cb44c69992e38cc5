"""Invalidation in the store: what has ended is never seen again, whatever the order in which replicas learn of it."""

from collections.abc import Iterator
from functools import partial

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from dynacache.datatypes import counter
from dynacache.datatypes.reading import read
from dynacache.storage.engine import WITNESSED, Engine
from dynacache.storage.eviction.groups import GroupSettings
from dynacache.storage.invalidation import SWEEP_REST_MS
from dynacache.types import MissReason
from dynacache.versioning import kernel, packed
from dynacache.versioning.actors import ActorIssuer, Dot
from dynacache.versioning.attachments import pack_tags, tags_of
from dynacache.versioning.kernel import EMPTY, State
from dynacache.versioning.layout import decode
from dynacache.wire.epoch_names import FLUSH, PATTERN, TAG
from tests.storage.builders import START_MS, engine_of, key_of

SKEW_MS = 100
MARGIN = 2 * SKEW_MS << 16
KEYS = (b"a:1", b"b:1")


def tagged(*tags: bytes, time_ms: int = START_MS, old: bytes | None = None, ttl_ms: int = 0, by: int = 1) -> bytes:
    payload = (pack_tags(list(tags)) if tags else b"") + b"\xc0"
    expire_ms = time_ms + ttl_ms if ttl_ms else 0
    flags = packed.TAGGED if tags else 0
    return packed.write(old, ActorIssuer(by), time_ms << 16, expire_ms, flags, payload, time_ms)[0]


def invalidate(engine: Engine, kind: int, argument: bytes = b"", at_ms: int = START_MS) -> None:
    engine.epochs.margin = MARGIN
    engine.epochs.raise_to(kind, b"", argument, at_ms << 16)
    engine.epochs_risen()


def sound(engine: Engine) -> None:
    assert engine.usage() == engine.recount()
    assert all(engine.check_trees(partition) for partition in range(engine.partition_count))


def sweep(engine: Engine, now_ms: int, slices: int = 1_000) -> int:
    for done in range(slices):
        if engine.is_swept:
            return done
        engine.collect(now_ms)
    raise AssertionError("the sweep does not end")


def test_what_has_ended_is_not_read_before_the_sweep_nor_held_after_it() -> None:
    engine = engine_of()
    for number in range(400):
        engine.put(number % 4, key_of(number), tagged(b"t%d" % (number % 2)))
    invalidate(engine, TAG, b"t0", START_MS)
    assert engine.get(0, key_of(0), START_MS) is None
    assert engine.get(1, key_of(1), START_MS) is not None
    sound(engine)
    assert sweep(engine, START_MS) > 0
    assert (engine.statistics().entries, engine.statistics().ghosts, engine.invalidated) == (200, 0, 200)
    assert all(engine.get(number % 4, key_of(number), START_MS) is None for number in range(0, 400, 2))
    sound(engine)


def test_slices_are_bounded_and_the_next_sweep_waits_its_turn() -> None:
    engine = engine_of(1)
    for number in range(3_000):
        engine.put(0, key_of(number), tagged(b"t"))
    while engine.collect(START_MS, 1_000) >= 1_000:
        pass  # the tree takes its level first
    invalidate(engine, TAG, b"t")
    assert engine.next_deadline_ms() is not None
    engine.collect(START_MS, 100)
    assert 0 < engine.invalidated <= 100 + 64, "a slice goes by its budget"
    sweep(engine, START_MS)
    engine.put(0, b"new", tagged(b"t", time_ms=START_MS + 5))
    invalidate(engine, TAG, b"t", START_MS + 5)
    engine.collect(START_MS + 6)
    assert engine.peek(0, b"new") is not None, "it rests"
    assert engine.get(0, b"new", START_MS + 6) is None, "and nothing is shown meanwhile"
    assert engine.sweeps == 1
    engine.collect(START_MS + SWEEP_REST_MS)
    assert (engine.is_swept, engine.sweeps) == (True, 2)


def test_epochs_that_are_dropped_start_no_sweep_nor_end_one() -> None:
    engine = engine_of(1)
    for number in range(500):
        engine.put(0, key_of(number), tagged(b"t"))
    while engine.collect(START_MS, 1_000) >= 1_000:
        pass  # the tree takes its level first
    invalidate(engine, TAG, b"other")
    invalidate(engine, TAG, b"t")
    engine.collect(START_MS, 64)
    assert 0 < engine.invalidated < 500
    engine.epochs.drop(TAG, b"", b"other")
    engine.epochs.measure()
    engine.epochs_dropped()
    sweep(engine, START_MS + SWEEP_REST_MS)
    assert (engine.invalidated, engine.sweeps) == (500, 1)
    invalidate(engine, TAG, b"other")
    sweep(engine, START_MS + 2 * SWEEP_REST_MS)
    engine.epochs.drop(TAG, b"", b"other")
    engine.epochs_dropped()
    assert (engine.is_swept, engine.sweeps) == (True, 2)
    engine.epochs.drop(TAG, b"", b"t")
    engine.epochs_dropped()
    assert not engine.epochs
    assert engine.is_swept
    engine.put(0, b"k", tagged(b"t"))
    assert engine.peek(0, b"k") is not None


def test_what_comes_in_late_is_not_stored() -> None:
    engine = engine_of()
    invalidate(engine, PATTERN, b"user:*", START_MS)
    old = tagged(time_ms=START_MS - 1_000)
    assert engine.merge(0, b"user:1", old, START_MS) is None
    engine.put(0, b"user:2", old)
    assert engine.merge_cold(0, b"user:3", old, START_MS) != WITNESSED
    assert engine.statistics().entries == 0
    engine.put(0, b"user:4", tagged(time_ms=START_MS + 1))
    engine.replace(0, b"user:4", engine.peek(0, b"user:4") or b"", old)
    assert engine.get(0, b"user:4", START_MS) is None
    sound(engine)


def test_an_evicted_value_that_has_ended_leaves_no_ghost() -> None:
    engine = engine_of(limit_bytes=60_000)
    for number in range(150):
        engine.put(number % 4, key_of(number), tagged(b"t"))
    assert engine.statistics().ghosts == 0
    invalidate(engine, TAG, b"t")
    for number in range(150, 600):
        engine.put(number % 4, key_of(number), tagged(time_ms=START_MS + 1))
        if engine.evicted:
            break
    assert engine.invalidated > 0
    sound(engine)


def test_a_value_that_may_be_outlived_ends_without_a_change_of_the_tree() -> None:
    """So replicas of which one has swept and the other has not, or has evicted it, have equal trees."""
    untagged = tagged(time_ms=START_MS - 5)
    record = tagged(b"t", old=untagged)
    swept, unswept = engine_of(1), engine_of(1)
    for engine in (swept, unswept):
        engine.put(0, b"k", record)
    invalidate(swept, TAG, b"t")
    sweep(swept, START_MS)
    assert packed.live_dot(swept.peek(0, b"k") or b"") == packed.live_dot(record)
    assert (swept.statistics().entries, swept.statistics().tombstones) == (0, 1)
    assert swept.root(0) == unswept.root(0)
    assert swept.merge(0, b"k", untagged, START_MS) == swept.peek(0, b"k"), "the older version stays away"
    sound(swept)


def test_an_increment_after_the_invalidation_starts_at_zero() -> None:
    engine, other, issuer = engine_of(1), engine_of(1), ActorIssuer(3)
    first = counter.increment(None, issuer, 5, START_MS << 16, 0, START_MS)[0]
    engine.put(0, b"n", first)
    other.merge(0, b"n", packed.strip_local(first), START_MS)
    invalidate(engine, FLUSH, at_ms=START_MS + SKEW_MS)
    after_ms = START_MS + SKEW_MS + 1
    local, sent, value = counter.increment(engine.get(0, b"n", after_ms), issuer, 2, after_ms << 16, 0, after_ms)
    assert value == 2
    engine.put(0, b"n", local)
    other.merge(0, b"n", sent, after_ms)
    invalidate(other, FLUSH, at_ms=START_MS + SKEW_MS)
    for each in (engine, other):
        held = each.get(0, b"n", after_ms)
        assert held is not None
        assert read(held, after_ms).payload == b"\x02"
        sound(each)


def test_a_tag_ends_the_increments_on_a_tagged_number_too() -> None:
    engine, issuer = engine_of(1), ActorIssuer(3)
    base = packed.write(None, issuer, START_MS << 16, 0, packed.TAGGED, pack_tags([b"t"]) + b"\x05", START_MS)[0]
    summed = counter.increment(base, issuer, 2, (START_MS << 16) + 1, 0, START_MS)[0]
    engine.put(0, b"n", summed)
    assert read(summed, START_MS).payload == b"\x07"
    assert read(summed, START_MS).tags == (b"t",)
    invalidate(engine, TAG, b"t", START_MS + 1)
    held = engine.get(0, b"n", START_MS)
    assert held is None or not read(held, START_MS).found
    sound(engine)


def test_a_touch_does_not_revive() -> None:
    engine = engine_of(1)
    record = tagged(b"t", ttl_ms=1_000)
    engine.put(0, b"k", record)
    invalidate(engine, TAG, b"t")
    assert engine.merge(0, b"k", packed.strip_local(packed.touch(record, START_MS + 9_000)), START_MS) is None
    assert engine.get(0, b"k", START_MS) is None
    sound(engine)


# The law, over three replicas.


@attrs.frozen
class Step:
    """One step of a trace; numbers are taken modulo what there is to choose from."""

    kind: str
    replica: int
    other: int
    key: int
    tags: int


STEPS = st.lists(
    st.builds(
        Step,
        kind=st.sampled_from(
            ["write", "write", "write", "delete", "fill", "send", "send", "invalidate", "tell", "sweep", "get", "evict"]
        ),
        replica=st.sampled_from([0, 0, 0, 1, 2]),
        other=st.integers(0, 7),
        key=st.integers(0, 1),
        tags=st.integers(0, 3),
    ),
    min_size=5,
    max_size=40,
)


@attrs.define
class World:
    """Three engines of one partition, a clock, and everything that was ever written or invalidated."""

    engines: list[Engine] = attrs.field(factory=lambda: [engine_of(1) for _ in range(3)])
    issuers: list[ActorIssuer] = attrs.field(factory=lambda: [ActorIssuer(7 + each) for each in range(3)])
    known: list[list[tuple[int, bytes, int]]] = attrs.field(factory=lambda: [[], [], []])
    produced: list[tuple[bytes, bytes]] = attrs.field(factory=list)
    now_ms: int = START_MS

    def do(self, step: Step) -> None:
        engine, issuer, key = self.engines[step.replica], self.issuers[step.replica], KEYS[step.key]
        self.now_ms += 20
        tags = [name for bit, name in ((1, b"x"), (2, b"y")) if step.tags & bit]
        payload = (pack_tags(tags) if tags else b"") + b"\xc0"
        flags = packed.TAGGED if tags else 0
        match step.kind:
            case "write" | "delete":
                held = engine.get(0, key, self.now_ms)
                if step.kind == "write":
                    time = self.now_ms << 16
                    unknown = held is None and engine.missing(0, key) is not None
                    record = packed.write(held, issuer, time, 0, flags, payload, self.now_ms, None, unknown)
                else:
                    record = packed.delete(held, issuer, self.now_ms << 16, self.now_ms, None, True)
                engine.put(0, key, record[0])
                self.produced.append((key, record[1]))
            case "fill" if engine.get(0, key, self.now_ms) is None:
                time = self.now_ms - 200 << 16
                record = packed.write(None, issuer, time, 0, flags | packed.FILL, payload, self.now_ms)
                engine.put(0, key, record[0])
                self.produced.append((key, record[1]))
            case "send" if self.produced:
                late_key, late = self.produced[step.other % len(self.produced)]
                engine.merge(0, late_key, late, self.now_ms)
            case "invalidate":
                argument = (b"", b"a:*", b"x", b"y")[step.tags]
                kind = (FLUSH, PATTERN, TAG, TAG)[step.tags]
                self.learn(step.replica, (kind, argument, self.now_ms + SKEW_MS))
            case "tell":
                for epoch in self.known[step.other % 3]:
                    self.learn(step.replica, epoch)
            case "sweep":
                self.now_ms += SWEEP_REST_MS if step.other == 0 else 0
                engine.collect(self.now_ms, 1 + step.other)
            case "get":
                engine.get(0, key, self.now_ms)
            case "evict" if step.other == 0:
                engine.set_limit(1)
                engine.collect(self.now_ms, 1)
                engine.set_limit(1 << 28)

    def learn(self, replica: int, epoch: tuple[int, bytes, int]) -> None:
        if epoch not in self.known[replica]:
            self.known[replica].append(epoch)
            invalidate(self.engines[replica], *epoch)

    def settle(self) -> None:
        """Let all learn of all epochs, merge all that any holds, and sweep."""
        for epoch in [epoch for known in self.known for epoch in known]:
            for replica in range(3):
                self.learn(replica, epoch)
        for _ in range(2):
            for engine in self.engines:
                for other in self.engines:
                    for key, record in other.items(0):
                        engine.merge(0, key, packed.strip_local(record), self.now_ms)
        self.now_ms += SWEEP_REST_MS
        for engine in self.engines:
            engine.collect(self.now_ms, 1_000)
            assert engine.is_swept

    def fate(self, key: bytes, version: kernel.Version) -> bool:
        """Whether an epoch ends a version: the model, written without the code under test."""
        tags = tags_of(version.flags, version.payload)
        for kind, argument, at_ms in {epoch for known in self.known for epoch in known}:
            concerns = kind == FLUSH or (kind == PATTERN and key.startswith(argument[:-1])) or argument in tags
            if concerns and version.time <= at_ms << 16:
                return True
        return False

    def everything(self, key: bytes) -> State:
        state = EMPTY
        for written, record in self.produced:
            if written == key:
                state = kernel.merge(state, decode(record))
        return state

    def visible(self, engine: Engine, key: bytes) -> Dot | None:
        held = engine.get(0, key, self.now_ms)
        return None if held is None else kernel.resolve(decode(held).dots, self.now_ms).winner


def _model_fate(world: World, key: bytes, version: kernel.Version) -> int:
    return kernel.DEAD if world.fate(key, version) else kernel.ALIVE


def _versions(world: World, key: bytes) -> Iterator[tuple[Dot, kernel.Version]]:
    for written, record in world.produced:
        if written == key:
            yield from decode(record).dots.items()


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_what_has_ended_stays_so_under_any_order(steps: list[Step]) -> None:
    world = World()
    for step in steps:
        world.do(step)
        for replica, engine in enumerate(world.engines):
            own = attrs.evolve(world, known=[world.known[replica]])
            for key in KEYS:
                dot = world.visible(engine, key)
                if dot is not None:
                    version = dict(_versions(world, key))[dot]
                    assert not own.fate(key, version), "a replica never shows what an epoch that it knows has ended"
    evicted = any(engine.statistics().ghosts for engine in world.engines)
    world.settle()
    for engine in world.engines:
        sound(engine)
        for key in KEYS:
            everything = world.everything(key)
            dot = world.visible(engine, key)
            if dot is not None:
                assert not world.fate(key, dict(_versions(world, key))[dot]), "it stays ended"
                if not evicted:
                    assert dot in everything.dots, "and nothing that was superseded returns in its place"
            ended = kernel.invalidate(everything, partial(_model_fate, world, key))
            expected = kernel.resolve(ended.dots, world.now_ms).winner
            if expected is not None and not evicted:
                assert dot == expected, "what no epoch concerns is there"
    if not evicted:
        assert len({engine.root(0) for engine in world.engines}) == 1, "and the trees agree"


def test_plain_values_with_and_without_an_end_are_swept_together_with_all_others() -> None:
    """Masses go in one way, what may be outlived, is behind in its tree or belongs to a group in its own."""
    swept, single = engine_of(2), engine_of(2)
    for engine in (swept, single):
        engine.set_groups([GroupSettings(b"\x00\x03web", "lru")])
        for number in range(600):
            key = (b"\x00\x03web" if number % 5 == 0 else b"") + key_of(number)
            by, ttl_ms = 1 + number, 60_000 * (number % 3)
            first = tagged(*([b"t"] if number % 4 else []), time_ms=START_MS - 5, ttl_ms=ttl_ms, by=by)
            engine.put(number % 2, key, first)
            if number % 7 == 0:
                engine.put(number % 2, key, tagged(b"t", old=first, ttl_ms=ttl_ms, by=by))
        engine.collect(START_MS, 10_000)
        engine.epochs.raise_to(TAG, b"\x03web"[1:], b"t", START_MS << 16)
        invalidate(engine, TAG, b"t")
    sweep(swept, START_MS)
    for shard in range(2):
        for key, _ in single.items(shard):
            single.get(shard, key, START_MS)
    assert [dict(swept.items(shard)) for shard in range(2)] == [dict(single.items(shard)) for shard in range(2)]
    assert (swept.invalidated, swept.roots) == (single.invalidated, single.roots)
    assert [group.policy.count for group in swept._groups.groups()] == [
        group.policy.count for group in single._groups.groups()
    ]
    assert swept._wheel.contents() == single._wheel.contents()
    assert swept.why_gone(1, key_of(1)) == MissReason.INVALIDATED
    sound(swept)
