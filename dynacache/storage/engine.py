"""The engine: get, put, merge and forget packed records, within a limit in bytes.

What: the calls that the node makes, over ``holdings``. Time is an argument; ``put`` has none, because what it stores
was made at a time that an earlier call has told.

Invariants: ``usage() == recount()``. The total exceeds the limit by no more than one entry, after every call. A
record whose expiry has come is never returned: what ``packed.clean`` leaves of it is, a tombstone or nothing.
Tombstones are dropped by age alone, never in a partition that is ``warming`` or ``stale``. A key that is stored has
no ghost.

Why hot calls repeat lines of each other: a call to a helper costs a fifth of a whole read. DESIGN sections 4 and 8.
"""

import struct
from collections.abc import Iterable, Mapping

import attrs

from dynacache.storage.accounting import Usage
from dynacache.storage.contributions import DELETED, key_hash
from dynacache.storage.evicting import EVICTION_COST
from dynacache.storage.eviction.groups import GroupSettings
from dynacache.storage.eviction.policy import READ_SAMPLE_SPAN
from dynacache.storage.ghost_shard import Ghost
from dynacache.storage.records import due_of, is_tombstone, read_times
from dynacache.storage.replica import Replica
from dynacache.storage.shape import PENDING_BYTES
from dynacache.storage.statistics import StorageStatistics
from dynacache.types import MissReason
from dynacache.versioning import packed
from dynacache.versioning.newest import keep_newest

__all__ = ["REFUSED", "TAKEN", "WITNESSED", "Engine"]

TAKEN, WITNESSED, REFUSED = range(3)
"""Outcomes of ``Engine.merge_cold``."""

_VALUE, _MANY = packed.VALUE, packed.MANY
# byte 0 and kind together (byte 0 clear: the kind alone), flags, entry_count, index, expire_ms, first actor, its n
_read_single = struct.Struct(">HBBB8xQ8x12sI").unpack_from
_SINGLE_BYTES = packed.HEADER_BYTES + 16
_VALUE_FLAGS = packed.RAW | packed.MAY_BE_OUTLIVED | packed.FILL | packed.COMPRESSED
_unpack_expiry = struct.Struct(">13xQ").unpack_from
_merge = packed.merge
_clean = packed.clean


@attrs.define(eq=False)
class Engine(Replica):
    """The store of one node. ``partition`` is one of ``partitions``: from 0 below ``partition_count``, and as many for
    each further replication factor (``add_factor``).

    ``warming`` and ``stale`` (partitions that must not reap) and ``dirty`` (those that repair visits first) are the
    caller's to set. Raises InvalidOption if the limit does not hold the empty store twice over.
    """

    # Hot calls. They repeat a line or two of each other rather than call a helper.

    def get(self, partition: int, key: bytes, now_ms: int) -> bytes | None:
        """Return the record, live or tombstone, and mark it as used; None if there is none."""
        record = self._tables[partition].entries.get(key)
        if record is None:
            self.misses += 1
            return self._tombstones.tables[partition].entries.get(key)
        (expire_ms,) = _unpack_expiry(record)
        if 0 < expire_ms <= now_ms:
            self.misses += 1
            return self._meet_expired(partition, key, record, now_ms)
        if self._unswept and (left := self._meet(partition, key, record)) is not record:
            self.misses += 1
            return left
        self.hits = hits = self.hits + 1
        policy = self._policy if not self._grouped or key[0] else self._groups.policy_of(partition, key)
        cells, hashed = policy.cells, key_hash(key)
        slot = hashed & policy.mask
        cells[slot] = policy.steps[cells[slot]]
        if hits >= self._next_sample:
            policy.reads.append(hashed)
            self._next_sample = hits + 1 + int(self.random.random() * READ_SAMPLE_SPAN)
        return record

    def peek(self, partition: int, key: bytes) -> bytes | None:
        """Return the record as it is held, expired or not, without marking it as used."""
        record = self._tables[partition].entries.get(key)
        return self._tombstones.tables[partition].entries.get(key) if record is None else record

    def put(self, partition: int, key: bytes, record: bytes) -> None:
        """Store a record in place of whatever is held.

        Raises OutOfMemory if there is no room and nothing may be evicted for it, InvalidRequest if the value is too
        large; then the key is as it was.
        """
        if self._judging and (left := self.epochs.left(key, record)) is not record:
            left = self._put_dead(partition, key, left)
            if left is None:
                return
            record = left
        if record[1] == _MANY and self.keeps_newest is not None:
            record = self._reduced(key, record)
        if record[1] != _VALUE and is_tombstone(record):
            return self._put_tombstone(partition, key, record)
        old = self._tables[partition].entries.get(key)
        if old is None:
            return self._insert(partition, key, record)
        return self._replace(partition, key, old, record)

    def merge(self, partition: int, key: bytes, incoming: bytes, now_ms: int) -> bytes | None:
        """Merge a record from elsewhere into what is held; return what is held then.

        What has expired by ``now_ms``, on either side, counts as what it leaves: None if that is nothing at all. Raises
        as ``put``; then the key is as it was.
        """
        self._now_ms = now_ms
        if self._judging:
            if self._unswept:
                self._meet_held(partition, key)
            if self.epochs.left(key, incoming) is not incoming:
                held, left = self._merge_dead(partition, key, incoming, now_ms)
                if left is not None and left != held:
                    self.put(partition, key, left)
                elif left is None and held is not None:
                    self.remove(partition, key)
                return left
        held = self._tables[partition].entries.get(key)
        if held is not None:
            (expire_ms,) = _unpack_expiry(held)
            if 0 < expire_ms <= now_ms:
                held = self._meet_expired(partition, key, held, now_ms)
        if held is None:
            held = self._tombstones.tables[partition].entries.get(key)
        (expire_ms,) = _unpack_expiry(incoming)
        if 0 < expire_ms <= now_ms:
            left = _clean(incoming, now_ms)
            if left is None:
                return None if held is None else self._merge_expired(partition, key, held, incoming, now_ms)
            incoming = left
        if held is None:
            if incoming[1] == _MANY and self.keeps_newest is not None:
                incoming = self._reduced(key, incoming)
            self.put(partition, key, incoming)
            return incoming
        merged = _merge(held, incoming)
        if merged[1] == _MANY and self.keeps_newest is not None:
            merged = self._reduced(key, merged)
        if merged is not held:
            if merged[1] == _VALUE and held[1] == _VALUE:
                self._replace(partition, key, held, merged)
            else:
                self.put(partition, key, merged)
        return merged

    def merge_cold(self, partition: int, key: bytes, record: bytes, now_ms: int) -> int:
        """Merge what repair or a transfer brings; return ``TAKEN``, or if there is no room ``WITNESSED``: a ghost of it
        was left instead, so that nothing in use has to go, or ``REFUSED`` if there is no room for a ghost either.

        Tombstones, and what comes for a key that is held, are always merged. Raises as ``merge``.
        """
        self._now_ms = now_ms
        ends = self._judging and self.epochs.left(key, record) is not record
        if ends or self.admits_key(key) or self.peek(partition, key) is not None or is_tombstone(record):
            self.merge(partition, key, record, now_ms)
            return TAKEN
        time, expire_ms = read_times(record)
        if 0 < expire_ms <= now_ms:
            return TAKEN
        second = due_of(record) if record[1] == _VALUE else 0
        ghost = self._fingerprint(key), time, self._contribution(key, record), second
        return WITNESSED if self._witness(partition, ghost) else REFUSED

    def replace(self, partition: int, key: bytes, old: bytes, record: bytes) -> None:
        """As ``put``, for a caller that has just peeked ``old`` in the default namespace."""
        if record[1] == _VALUE and old[1] == _VALUE and not (self._judging and self.epochs.is_dead(key, record)):
            self._replace(partition, key, old, record)
        else:
            self.put(partition, key, record)

    def merge_newer(self, partition: int, key: bytes, incoming: object, now_ms: int) -> bool:
        """Merge the commonest record there is; False, and nothing done, for any other.

        That is one live value that follows the one live value held, minted by the same actor, neither expired. The
        checks are those of ``is_well_formed`` and of merging as far as they concern such a record.
        """
        if type(incoming) is not bytes or len(incoming) < _SINGLE_BYTES:
            return False
        held = self._tables[partition].entries.get(key)
        if held is None:
            return False
        head, flags, count, index, expire_ms, actor, n = _read_single(incoming)
        held_head, _, held_count, _, held_expire_ms, held_actor, held_n = _read_single(held)
        if (
            head != _VALUE
            or held_head != _VALUE
            or count != 1
            or held_count != 1
            or index
            or held_actor != actor
            or held_n >= n
            or flags & ~_VALUE_FLAGS
            or (expire_ms and expire_ms <= now_ms)
            or (held_expire_ms and held_expire_ms <= now_ms)
            or (self._judging and self.epochs.left(key, incoming) is not incoming)
        ):
            return False
        self._replace(partition, key, held, incoming)
        return True

    def _reduced(self, key: bytes, record: bytes) -> bytes:
        """Return what is kept of several versions in a namespace where the last write wins."""
        assert self.keeps_newest is not None
        if not self.keeps_newest(key):
            return record
        record, lost = keep_newest(record)
        self.discarded += lost
        return record

    def held(self) -> tuple[int, int]:
        """Return how many entries are live, and the bytes of their keys and records."""
        return self._live.count, self._live_bytes

    def _merge_expired(self, shard: int, key: bytes, held: bytes, incoming: bytes, now_ms: int) -> bytes | None:
        """Let a record that leaves nothing take with it what it has superseded; return what is held then."""
        if is_tombstone(held) or _clean(_merge(held, incoming), now_ms) is not None:
            return held
        self._forget(shard, key, held)
        self.expired += 1
        return None

    def missing(self, partition: int, key: bytes) -> int | None:
        """Return why a key is not held: None if it was never seen to be evicted or is known to be deleted, else the
        hybrid time of the version that was evicted, 0 if that is not remembered (this partition has forgotten some of
        its evictions)."""
        ghost = self._ghost_of(partition, key) if self._ghosts.count else None
        if ghost is None:
            return 0 if partition in self._ghosts.forgot else None
        return None if ghost[2] & DELETED else ghost[1]

    def superseded_before(self, partition: int, key: bytes) -> int | None:
        """Return the hybrid time of the version that this node remembers of a key it does not hold, evicted or deleted:
        what is older was superseded by it. None if nothing is remembered."""
        ghost = self._ghost_of(partition, key) if self._ghosts.count else None
        return None if ghost is None else ghost[1]

    def _ghost_of(self, shard: int, key: bytes) -> Ghost | None:
        return self._ghosts.find(shard, self._fingerprint(key), self._now_ms // 1000)

    def why_gone(self, partition: int, key: bytes) -> MissReason:
        """Return why a key is not found that has left neither tombstone nor ghost: ``EXPIRED`` or ``NEVER_WRITTEN``, as
        far as is remembered."""
        if key in self._tables[partition].entries:
            return MissReason.EXPIRED
        return self._gone_keys.reason(key)

    def live(self, partition: int) -> Mapping[bytes, bytes]:
        """Return the entries of a partition that are no tombstones, some of which may have expired; to be read before
        anything else is called."""
        if self._unswept:
            self._sweep_shard(partition)
        return self._tables[partition].entries

    def remove(self, partition: int, key: bytes) -> bool:
        """Drop the record without a trace, as for a partition that moved away; False if there was none."""
        record = self._tables[partition].entries.get(key)
        if record is not None:
            self._forget(partition, key, record)
        elif key in self._tombstones.tables[partition].entries:
            self._toggle(partition, key, self._contribution(key, self._drop_tombstone(partition, key)))
        else:
            return False
        return True

    def items(self, partition: int) -> list[tuple[bytes, bytes]]:
        """Return every (key, record) of a partition, tombstones last: a copy, in the same order on every machine that
        saw the same calls."""
        return [*self._tables[partition].entries.items(), *self._tombstones.tables[partition].entries.items()]

    def collect(self, now_ms: int, budget_count: int | None = None) -> int:
        """Do a slice of clean-up: expire what is due, reap tombstones, evict down to a lowered limit or share.

        Looks at about ``budget_count`` entries (``settings.collect_count`` by default) and returns how many it was;
        fewer than the budget means that nothing is left to do before ``next_deadline_ms``.
        """
        budget = self.settings.collect_count if budget_count is None else budget_count
        self._now_ms = now_ms
        done = self._collect_expired(now_ms, budget)
        if done < budget:
            done += self._reap(now_ms, budget - done)
        if done < budget:
            done += self._tend(now_ms, budget - done)
        if done < budget and self._unswept:
            done += self._sweep_dead(now_ms, budget - done)
        if done < budget and self._used_bytes > self._limit_bytes:
            most = max(1, (budget - done) // EVICTION_COST)
            done += EVICTION_COST * self._evict(None, self._limit_bytes, most)
        if self._grouped:
            done += self._trim_groups(budget - done)
        return done

    def next_deadline_ms(self) -> int | None:
        """Return when ``collect`` will have work; None if nothing is foreseen."""
        if self._used_bytes > self._limit_bytes and self._live.count:
            return self._now_ms
        if self._trees.is_growing or (self._grouped and (self._groups.is_moving or self._above_share() is not None)):
            return self._now_ms
        instants = (self._wheel.next_due_ms(), self._reaper.next_ms, self._sweep_due_ms())
        return min((instant for instant in instants if instant is not None), default=None)

    def evict_one(self) -> bool:
        """Evict an entry though there is room; False if nothing may go. For measurements by number of entries."""
        return self._evict(None, 0, 1) > 0

    def set_groups(self, groups: Iterable[GroupSettings], policy: str | None = None) -> None:
        """Set which prefixes of keys have a policy or a share of the memory of their own, and everybody's policy if one
        is given; ``collect`` moves what is held. Raises InvalidOption for an unknown policy, and nothing changes."""
        name = policy or self._groups.policy_name
        self._change_groups(lambda held: held.change(name, groups))

    def take_touched(self) -> list[tuple[bytes, set[int]]]:
        """Return by the prefix of their group (empty for everybody's) the hashes of keys read since the last call, as
        far as they were sampled."""
        return [(prefix, hashes) for prefix, hashes in self._groups.take_reads() if hashes]

    def touch(self, prefix: bytes, hashes: Iterable[int]) -> None:
        """Count a use of keys by their hashes, read at another replica."""
        policy = self._groups.policy_of_prefix(prefix)
        cells, mask, steps = policy.cells, policy.mask, policy.steps
        for hashed in hashes:
            slot = hashed & mask
            cells[slot] = steps[cells[slot]]

    def set_limit(self, limit_bytes: int) -> None:
        """Change the limit in force, as when resident memory does not follow the account; ``collect`` evicts down."""
        self._limit_bytes = limit_bytes

    @property
    def limit_bytes(self) -> int:
        """The limit in force."""
        return self._limit_bytes

    @property
    def used_bytes(self) -> int:
        """The total of ``usage``."""
        return self._used_bytes

    def due_count(self, now_ms: int) -> int:
        """Return how many entries wait for ``collect`` because they have expired."""
        return self._wheel.due_count(now_ms)

    def usage(self) -> Usage:
        """Return the bytes in use by share, as counted along the way."""
        return Usage(
            base_bytes=self._base_bytes(),
            entries_bytes=self._live_bytes + self._live.size_bytes,
            tombstones_bytes=self._tombstone_bytes + self._tombstones.size_bytes,
            expiry_bytes=self._wheel.size_bytes,
            ghosts_bytes=self._ghosts.size_bytes,
            trees_bytes=self._trees.size_bytes + PENDING_BYTES * len(self._pending),
        )

    def recount(self) -> Usage:
        """Return the bytes in use by share, by visiting everything: slow, for checkers."""
        return Usage(
            base_bytes=self._base_bytes(),
            entries_bytes=self._live.contents_bytes(),
            tombstones_bytes=self._tombstones.contents_bytes(),
            expiry_bytes=self._wheel.recount_bytes(),
            ghosts_bytes=self._ghosts.recount_bytes(),
            trees_bytes=self._trees.recount_bytes() + PENDING_BYTES * len(self._pending),
        )

    def statistics(self) -> StorageStatistics:
        """Return counts, bytes and outcomes."""
        return StorageStatistics(
            entries=self._live.count,
            tombstones=self._tombstones.count,
            ghosts=self._ghosts.count,
            expiring=self._wheel.count,
            usage=self.usage(),
            limit_bytes=self._limit_bytes,
            tombstone_limit_bytes=self._tombstone_limit_bytes,
            hits=self.hits,
            misses=self.misses,
            evicted=self.evicted,
            expired=self.expired,
            reaped=self.reaped,
            reaped_early=self.reaped_early,
            invalidated=self.invalidated,
            witnessed=self.witnessed,
            refused=self.refused,
            discarded=self.discarded,
            forgetful_partitions=len(self._ghosts.forgot),
        )
