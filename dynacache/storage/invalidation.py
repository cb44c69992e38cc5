"""What has been invalidated leaves the store: at once where it is met, in the background everywhere else.

What: ``Invalidation`` holds every record that comes in, is read or is about to be evicted against the ``epochs``, puts
what is left in its place, and sweeps the whole store in slices after each new epoch.

Invariants: no call of the store returns a value that an epoch it knows has ended, before and after the sweep alike
(``_unswept`` is true from the moment an epoch is known until all of the store was held against it). A value that comes
in later is held against them as it comes, so nothing is missed behind the sweep, and no index has to be kept. What goes
by an epoch leaves the tree unmarked: all replicas let it go as soon as they know, and what differs until then is no
news. An entry that went this way leaves no ghost; the ghost of one that was evicted before stays, as a number that the
others do not have, until an exchange drops it.

Why a sweep and no index from tags to keys: an index costs each entry more than its tags do, has to follow evictions and
expiries, and would make an invalidation as slow as the tag is large. A sweep costs a microsecond or two an entry and
can wait; it starts at most every ``SWEEP_REST_MS``, so that a tag a second does not keep a core busy. Brief R14.3.
"""

from array import array

import attrs

from dynacache.storage.accounting import object_bytes
from dynacache.storage.contributions import PLAIN_HEADS
from dynacache.storage.expiring import Expiring
from dynacache.storage.records import EXPIRY, NEVER, due_of, is_tombstone
from dynacache.types import MissReason
from dynacache.versioning import packed

__all__ = ["BURIAL_COST", "SWEEP_REST_MS", "Invalidation"]

SWEEP_REST_MS = 10_000
"""Least time between the starts of two sweeps; the first one starts at once."""

BURIAL_COST = 3
"""What one entry that goes counts in entries that are only looked at."""

_PART = 256
"""Entries after which the cost so far is looked at."""

_HEAD = slice(1, 4)


@attrs.define(eq=False)
class Invalidation(Expiring):
    """The store under epochs. ``epochs_risen`` or ``epochs_dropped`` follows each change of ``epochs``."""

    invalidated: int = attrs.field(init=False, default=0)
    sweeps: int = attrs.field(init=False, default=0)
    swept: int = attrs.field(init=False, default=0)
    _generation: int = attrs.field(init=False, default=0)
    _sweeping: int = attrs.field(init=False, default=0)
    """Generation of the sweep under way, 0 for none."""

    _clean: "array[int]" = attrs.field(init=False, factory=lambda: array("Q"))
    """Of each shard the generation that it was swept for."""

    _clean_generation: int = attrs.field(init=False, default=0)
    _shard_at: int = attrs.field(init=False, default=0)
    _left_in_shard: list[bytes] = attrs.field(init=False, factory=list)
    _shard_listed: bool = attrs.field(init=False, default=False)
    _next_sweep_ms: int = attrs.field(init=False, default=0)

    def epochs_risen(self) -> None:
        """Take note of a new epoch: all of the store has to be held against it."""
        self._judging = self._unswept = True
        self._generation += 1

    def epochs_dropped(self) -> None:
        """Take note that ``epochs`` has lost some: what was alive is still, so nothing is looked at again."""
        self._judging = bool(self.epochs)
        if not self._judging:
            self._unswept, self._sweeping, self._clean_generation = False, 0, self._generation
            self._left_in_shard, self._shard_listed = [], False

    @property
    def is_swept(self) -> bool:
        """Tell whether nothing that has been invalidated is held any more."""
        return not self._unswept

    @property
    def is_sweeping(self) -> bool:
        """Tell whether a sweep is under way."""
        return self._sweeping > 0

    def left(self, key: bytes, record: bytes) -> bytes | None:
        """Return what the epochs leave of a record from anywhere: itself, a smaller one, None for nothing."""
        return self.epochs.left(key, record) if self._judging else record

    def ended_until(self, key: bytes, tags: tuple[bytes, ...]) -> int:
        """Return the newest epoch that concerns values of a key with these tags, 0 for none."""
        if not self._judging:
            return 0
        return max(self.epochs.key_epoch(key), self.epochs.tags_epoch(key, tags))

    # Met.

    def _meet(self, shard: int, key: bytes, record: bytes) -> bytes | None:
        """Return what the epochs leave of a live record that was found, and put it in its place."""
        left = self.epochs.left(key, record)
        if left is not record:
            self._bury(shard, key, record, left)
        return left

    def _meet_held(self, shard: int, key: bytes) -> None:
        """Hold whatever is stored of a key against the epochs."""
        record = self._tables[shard].entries.get(key)
        if record is not None:
            self._meet(shard, key, record)
        else:
            self._meet_tombstone(shard, key)

    def _meet_tombstone(self, shard: int, key: bytes) -> bool:
        record = self._tombstones.tables[shard].entries.get(key)
        if record is None:
            return False
        left = self.epochs.left(key, record)
        if left is record:
            return False
        self._drop_tombstone(shard, key)
        if left is not None:
            self._store_tombstone(shard, key, left)
        self._toggle(shard, key, self._contribution(key, record) ^ self._contribution(key, left), marked=False)
        return True

    def _bury(self, shard: int, key: bytes, record: bytes, left: bytes | None) -> None:
        """Put what an epoch left of a live record in its place. Never refused: it takes no more room than before."""
        self.invalidated += 1
        self._toggle(shard, key, self._contribution(key, record) ^ self._contribution(key, left), marked=False)
        if left is None or is_tombstone(left):
            self._drop_live(shard, key, record)
            self._gone_keys.add(key, MissReason.INVALIDATED)
            if left is not None:
                self._store_tombstone(shard, key, left)
            return
        self._settle_leaf(shard, key, record)
        growth = object_bytes(len(left)) - object_bytes(len(record))
        self._resize(shard, key, growth)
        self._tables[shard].entries[key] = left
        self._reschedule(shard, key, due_of(record), due_of(left))

    # Coming in.

    def _put_dead(self, shard: int, key: bytes, left: bytes | None) -> bytes | None:
        """Store what epochs left of a record that was to be stored; return what to store still, None for nothing.

        A record that leaves nothing takes with it what it was to replace.
        """
        self.invalidated += 1
        self._gone_keys.add(key, MissReason.INVALIDATED)
        if left is None:
            held = self._tables[shard].entries.get(key)
            if held is not None:
                self._forget(shard, key, held)
            elif key in self._tombstones.tables[shard].entries:
                self._toggle(shard, key, self._contribution(key, self._drop_tombstone(shard, key)))
        return left

    def _merge_dead(self, shard: int, key: bytes, incoming: bytes, now_ms: int) -> tuple[bytes | None, bytes | None]:
        """Return (what is held, what is to be held) once a record was merged of which epochs end something."""
        held = self._tables[shard].entries.get(key)
        if held is None:
            held = self._tombstones.tables[shard].entries.get(key)
        merged = packed.strip_local(incoming) if held is None else packed.merge(held, incoming)
        left = self.epochs.left(key, merged)
        if left is not None:
            left = packed.clean(left, now_ms)
        return held, left

    # The sweep.

    def _sweep_dead(self, now_ms: int, budget: int) -> int:
        """Hold some of the store against the epochs; return how much of the budget that took."""
        if not self._unswept or (not self._sweeping and now_ms < self._next_sweep_ms):
            return 0
        if not self._sweeping:
            self._sweeping, self._shard_at = self._generation, 0
            self._next_sweep_ms = now_ms + SWEEP_REST_MS
            self.sweeps += 1
        looks, shards = budget, len(self._tables)
        while looks > 0 and self._shard_at < shards:
            looks -= self._sweep_part(self._shard_at, looks)
            if not self._left_in_shard:
                self._finish_shard(self._shard_at, self._sweeping)
                self._shard_listed = False
                self._shard_at += 1
        if self._shard_at >= shards:
            self._clean_generation, self._sweeping = self._sweeping, 0
            self._unswept = self._clean_generation != self._generation
        return budget - max(0, looks)

    def _sweep_part(self, shard: int, looks: int) -> int:
        """Sweep a shard, or go on with it, for about so many looks; return how many it was."""
        if not self._shard_listed:
            if self._is_clean(shard, self._sweeping):
                return 0
            self._left_in_shard = [*self._tombstones.tables[shard].entries, *self._tables[shard].entries]
            self._shard_listed = True
        keys, count = self._left_in_shard, min(looks, _PART)
        taken = keys[-count:]
        del keys[-count:]
        self.swept += len(taken)
        return 1 + len(taken) + BURIAL_COST * self._sweep_keys(shard, taken)

    def _sweep_keys(self, shard: int, keys: list[bytes]) -> int:
        """Hold some keys against the epochs; return how many were ended."""
        buried, entries, left_of, pending = 0, self._tables[shard].entries, self.epochs.left, self._pending
        plain: list[bytes] = []
        records: list[bytes] = []
        others: list[tuple[bytes, bytes, bytes | None]] = []
        for key in keys:
            record = entries.get(key)
            if record is None:
                buried += self._meet_tombstone(shard, key)
                continue
            left = left_of(key, record)
            if left is record:
                continue
            if left is None and record[_HEAD] in PLAIN_HEADS and key not in pending:
                plain.append(key)
                records.append(record)
            else:
                others.append((key, record, left))
        for key, record, left in others:
            self._bury(shard, key, record, left)
        if plain:
            self._bury_plain(shard, plain, records)
        return buried + len(plain) + len(others)

    def _bury_plain(self, shard: int, keys: list[bytes], records: list[bytes]) -> None:
        """Drop plain values of which epochs leave nothing, and whose leaves are up to date."""
        wheel = self._wheel
        before = wheel.size_bytes
        for key, record in zip(keys, records, strict=True):
            if record[EXPIRY] != NEVER:
                wheel.remove(shard, key, due_of(record))
        self._used_bytes += wheel.size_bytes - before
        self._drop_many(keys, [shard] * len(keys), records, MissReason.INVALIDATED)
        self.invalidated += len(keys)

    def _sweep_shard(self, shard: int) -> None:
        """Sweep a shard at once, before it is listed or compared."""
        if self._unswept and not self._is_clean(shard, self._generation):
            self._sweep_keys(shard, [*self._tombstones.tables[shard].entries, *self._tables[shard].entries])
            self._finish_shard(shard, self._generation)

    def _is_clean(self, shard: int, generation: int) -> bool:
        return shard < len(self._clean) and self._clean[shard] >= generation

    def _finish_shard(self, shard: int, generation: int) -> None:
        if shard >= len(self._clean):
            self._clean.extend([0] * (len(self._tables) - len(self._clean)))
        self._clean[shard] = max(generation, self._clean[shard])

    def _sweep_due_ms(self) -> int | None:
        """Return when the sweep has work, None if it has none."""
        if not self._unswept:
            return None
        return self._now_ms if self._sweeping else max(self._now_ms, self._next_sweep_ms)
