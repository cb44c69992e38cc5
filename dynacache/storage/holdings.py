"""What the store holds, with every byte counted and room made before anything is stored.

What: the steps from which the calls of an engine are made, over the state of ``shape``: insert, replace, drop, store a
tombstone, reap. ``evicting`` makes room for them; ``expiring``, ``invalidation``, ``replica`` and ``engine`` add the
calls that others make.

Invariants: live records stand in one table a shard (a partition), tombstones in another beside it, so
that eviction meets none; a key is in at most one. A step moves tables, wheel, ghosts, trees, policy and counts
together: ``used_bytes`` is the sum of the shares, and a tree is the XOR of what is held and remembered. What goes by
the clock goes in a second that follows from the record alone, on all replicas the same, and is not marked as changed.
``OutOfMemory`` is raised before a step has changed anything but what it evicted.

Why a class of its own under the engine: the hot calls touch four structures,
and each call between objects costs as much as the dictionary does; as a base class the state is one attribute away.
"""

import attrs

from dynacache.errors import OutOfMemory
from dynacache.storage.accounting import object_bytes
from dynacache.storage.contributions import (
    CONTRIBUTION_MASK,
    DELETED,
    PLAIN_HEADS,
    PLAIN_PREFIX,
    PREFIX_BITS,
    PREFIX_MASK,
    contribution,
    digest,
    key_hash,
)
from dynacache.storage.evicting import Evicting
from dynacache.storage.records import deleted_s, due_of, read_times

__all__ = ["Holdings"]

_NEVER = bytes(8)
_EXPIRY = slice(13, 21)


@attrs.define(eq=False)
class Holdings(Evicting):
    """The steps. Each leaves tables, wheel, ghosts, trees, policy and accounts agreeing."""

    # Live records.

    def _insert(self, shard: int, key: bytes, record: bytes) -> None:
        objects = object_bytes(len(key)) + object_bytes(len(record))
        self._admit(shard, record, objects, self._tables[shard].next_growth_bytes(), key)
        hashed, returned = key_hash(key), 0
        trees = self._trees
        prefix = hashed >> trees.prefix_shift & PREFIX_MASK
        seed = hashed ^ self.hash_seed
        if record[1:4] in PLAIN_HEADS:
            difference = digest(record[PLAIN_PREFIX], seed) & CONTRIBUTION_MASK
        else:
            difference = contribution(record, seed)
        if self._tombstones.count and key in self._tombstones.tables[shard].entries:
            difference ^= contribution(self._drop_tombstone(shard, key), seed)
        if self._ghosts.count:
            returned = self._take_ghost(shard, key, prefix)
            difference ^= returned
        self._live_bytes += objects
        if not key[0]:
            tenant = self.census.tenant(key)
            tenant.entries += 1
            tenant.size_bytes += objects
        self._used_bytes += objects + self._live.insert(shard, key, record)
        if record[_EXPIRY] != _NEVER:
            self._used_bytes += self._wheel.add(shard, key, due_of(record))
        policy = self._groups.policy_of(shard, key) if self._grouped else self._policy
        self._used_bytes += policy.inserted(shard, key, hashed, objects, returned != 0)
        if difference:
            try:
                trees.leaves[shard][prefix >> trees.drops[shard]] ^= difference
            except IndexError:
                self._used_bytes += trees.plant(shard, prefix, difference)
            trees.journal.append(shard << PREFIX_BITS | prefix)
        if self._used_bytes > self._limit_bytes:
            self._shrink(key)

    def _replace(self, shard: int, key: bytes, old: bytes, record: bytes) -> None:
        if len(record) != len(old):
            growth = object_bytes(len(record)) - object_bytes(len(old))
            self._admit(shard, record, growth, 0, key)
            self._resize(shard, key, growth)
        self._tables[shard].entries[key] = record
        if old[_EXPIRY] != _NEVER or record[_EXPIRY] != _NEVER:
            self._reschedule(shard, key, due_of(old), due_of(record))
        if key not in self._pending:
            self._defer(shard, key, old, record)
        policy = self._policy if not self._grouped or key[0] else self._groups.policy_of(shard, key)
        cells, slot = policy.cells, key_hash(key) & policy.mask
        cells[slot] = policy.steps[cells[slot]]
        if self._used_bytes > self._limit_bytes:
            self._shrink(key)

    def _reschedule(self, shard: int, key: bytes, before: int, after: int) -> None:
        """Move a key between buckets. The dictionary takes the key object given, so that wheel and store share one."""
        if before == after:
            return
        if before:
            self._used_bytes += self._wheel.remove(shard, key, before)
        if after:
            self._used_bytes += self._live.rotate(shard, key)
            self._used_bytes += self._wheel.add(shard, key, after)

    def _drop_live(self, shard: int, key: bytes, record: bytes, scheduled: bool = True) -> None:
        if self._pending:
            self._settle_leaf(shard, key, record)
        objects = object_bytes(len(key)) + object_bytes(len(record))
        self._live_bytes -= objects
        if not key[0]:
            tenant = self.census.tenant(key)
            tenant.entries -= 1
            tenant.size_bytes -= objects
        self._used_bytes += self._live.remove(shard, key) - objects
        if scheduled and record[_EXPIRY] != _NEVER:
            self._used_bytes += self._wheel.remove(shard, key, due_of(record))
        self._used_bytes += self._policy_of(shard, key).removed(shard, key, key_hash(key), objects)

    def _forget(self, shard: int, key: bytes, record: bytes) -> None:
        """Drop a live record whose contribution goes with it, though its time has not come."""
        self._drop_live(shard, key, record)
        self._toggle(shard, key, self._contribution(key, record))

    # Tombstones.

    def _put_tombstone(self, shard: int, key: bytes, record: bytes) -> None:
        live = self._tables[shard].entries.get(key)
        table = self._tombstones.tables[shard]
        held = table.entries.get(key)
        growth = object_bytes(len(record))
        if held is None:
            growth += object_bytes(len(key)) + table.next_growth_bytes()
        else:
            growth -= object_bytes(len(held))
        taken = self._tombstone_bytes + self._tombstones.size_bytes
        if growth > 0 and taken + growth > self._tombstone_limit_bytes:
            self.refused += 1
            raise OutOfMemory(
                f"a tombstone needs {growth} bytes, {taken} of {self._tombstone_limit_bytes} for tombstones are in use"
            )
        freed = 0 if live is None else object_bytes(len(key)) + object_bytes(len(live))
        if self._used_bytes + growth - freed > self._limit_bytes:
            self._make_room(growth - freed, key)
        difference = self._contribution(key, record) ^ self._contribution(key, held if live is None else live)
        if live is not None:
            self._drop_live(shard, key, live)
        elif held is None and self._ghosts.count:
            difference ^= self._take_ghost(shard, key, self._trees.prefix(key_hash(key)))
        self._store_tombstone(shard, key, record)
        self._toggle(shard, key, difference)
        if self._used_bytes > self._limit_bytes:
            self._shrink(key)

    def _store_tombstone(self, shard: int, key: bytes, record: bytes) -> None:
        held = self._tombstones.tables[shard].entries.get(key)
        objects = object_bytes(len(record))
        if held is None:
            objects += object_bytes(len(key))
            self._used_bytes += self._tombstones.insert(shard, key, record)
        else:
            objects -= object_bytes(len(held))
            self._tombstones.tables[shard].entries[key] = record
        self._tombstone_bytes += objects
        self._used_bytes += objects
        self._reaper.note(shard, record)

    def _drop_tombstone(self, shard: int, key: bytes) -> bytes:
        record = self._tombstones.tables[shard].entries[key]
        objects = object_bytes(len(key)) + object_bytes(len(record))
        self._tombstone_bytes -= objects
        self._used_bytes += self._tombstones.remove(shard, key) - objects
        return record

    def _reap(self, now_ms: int, budget: int) -> int:
        held = (self.warming, self.stale)
        dropped, looked = self._reaper.sweep(self._tombstones, now_ms, budget, held, self._is_confirmed)
        for shard, key, is_early in dropped:
            self._reap_one(shard, key, is_early)
        return looked

    def _is_confirmed(self, shard: int, key: bytes) -> bool:
        """Ask whether every owner holds a tombstone and its ghost has room here: without one the trees would differ
        and the others bring the tombstone back."""
        return self._ghosts.has_room_for_deleted(shard) and self.confirmed(shard, self._trees.prefix(key_hash(key)))

    def _reap_one(self, shard: int, key: bytes, is_early: bool) -> None:
        """Drop a tombstone: early as a ghost, which keeps its contribution until its grace ends. What was confirmed
        with it may have taken the room; then it waits."""
        if is_early and not self._ghosts.has_room_for_deleted(shard):
            self._reaper.note(shard, self._tombstones.tables[shard].entries[key])
            return
        record = self._drop_tombstone(shard, key)
        gone = self._contribution(key, record)
        if is_early:
            time, _ = read_times(record)
            second = deleted_s(record) + self._reaper.grace_s
            self._leave_ghost(shard, (self._fingerprint(key), time, gone | DELETED, second))
            self.reaped_early += 1
        else:
            self._toggle(shard, key, gone, marked=False)
        self.reaped += 1
