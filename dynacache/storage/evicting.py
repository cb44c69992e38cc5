"""Room: what is evicted, and when a write is refused instead.

What: the steps that make room before anything is stored, over the state of ``shape``: a write is admitted, a victim is
chosen, dropped and remembered as a ghost. ``holdings`` calls them before it inserts, replaces or stores a tombstone.

Invariants: an eviction moves tables, wheel, policy, ghosts and counts together. The leaf of the repair tree stays as it
is: what the entry added is the ghost's from then on. ``OutOfMemory`` is raised before anything was evicted
if evicting all of it would not do. Who has expired already is counted as expired, and what it leaves is put in its
place.

Why one long step: beyond the limit nearly every write evicts, so that what an eviction costs is what a write costs. It
is done in one place with one hash of the key, where calls to the steps of ``holdings`` would be twice as slow.
"""

import struct
import sys

import attrs

from dynacache.errors import InvalidRequest, OutOfMemory
from dynacache.storage.accounting import object_bytes
from dynacache.storage.contributions import (
    CONTRIBUTION_MASK,
    DELETED,
    PLAIN_HEADS,
    PLAIN_PREFIX,
    PREFIX_MASK,
    contribution,
    digest,
    fingerprint,
    key_hash,
)
from dynacache.storage.eviction.groups import Groups
from dynacache.storage.eviction.policy import PATIENCE_COUNT, EvictionPolicy
from dynacache.storage.leaves import Leaves
from dynacache.storage.records import due_of, leaves_nothing, value_bytes
from dynacache.types import KeyChange, MissReason
from dynacache.versioning import packed

__all__ = ["EVICTION_COST", "EVICT_COUNT", "Evicting"]

EVICTION_COST = 8
"""What one eviction counts in entries that clean-up only looks at."""

EVICT_COUNT = 16
"""Entries that go together when room is needed, unless fewer make a thousandth of the limit free."""

_MANY = packed.MANY
_read_times = struct.Struct(">5xQQ").unpack_from
_AHEAD_LOG = 10


@attrs.define(eq=False)
class Evicting(Leaves):
    """The steps. Each leaves tables, wheel, ghosts, trees, policy and accounts agreeing."""

    def _expire(self, shard: int, key: bytes, record: bytes, now_ms: int) -> bytes | None:
        """Put what a record leaves when it expires in its place; see ``expiring``."""
        raise NotImplementedError

    def _meet(self, shard: int, key: bytes, record: bytes) -> bytes | None:
        """Return what epochs leave of a record that was found; see ``invalidation``."""
        raise NotImplementedError

    def _resize(self, shard: int, key: bytes, growth: int) -> None:
        """Count by how much the objects of a live record grow."""
        self._live_bytes += growth
        self._used_bytes += growth
        self._policy_of(shard, key).entry_bytes += growth
        if not key[0]:
            self.census.tenant(key).size_bytes += growth

    def _admit(self, shard: int, record: bytes, growth: int, table_growth: int, key: bytes) -> None:
        """Check the size of a record whose objects take ``growth`` more bytes, and make room for it."""
        largest = self.settings.largest_value_bytes
        if len(record) > largest and value_bytes(record) > largest:
            self.refused += 1
            raise InvalidRequest(f"the value has {value_bytes(record)} bytes, at most {largest} are accepted")
        if self._grouped and growth > 0:
            self._keep_share(shard, key, growth)
        growth += table_growth
        if growth > 0 and self._used_bytes + growth > self._limit_bytes:
            self._make_room(growth, key, self._policy_of(shard, key))

    def _keep_share(self, shard: int, key: bytes, growth: int) -> None:
        """Evict within the group of a key until ``growth`` more bytes are within its share; raise OutOfMemory."""
        limit = max(0, self._limit_bytes - self._used_bytes + self._live_bytes)
        while (policy := self._groups.over_share(shard, key, growth, limit)) is not None:
            if not self._evict(key, 0, 1, within=policy):
                self.refused += 1
                raise OutOfMemory(
                    f"{growth} more bytes needed, {policy.entry_bytes} in use: the namespace would take more than its"
                    " memory_share, and nothing of its own may be evicted for it"
                )

    def _make_room(self, growth: int, spared: bytes, writer: EvictionPolicy | None = None) -> None:
        """Evict until ``growth`` more bytes fit; raise OutOfMemory, before evicting if all of it would not do.

        A little more goes than is needed at the moment, some entries together: one after the other costs more.
        """
        limit = self._limit_bytes
        if self._used_bytes - self._live_bytes + growth <= limit:
            goal = limit - growth
            if not self._grouped:
                self._evict(spared, goal - (limit >> _AHEAD_LOG), EVICT_COUNT)
            if self._used_bytes > goal:
                self._evict(spared, goal, writer=writer)
            if self._used_bytes <= goal:
                return
        self.refused += 1
        raise OutOfMemory(f"{growth} more bytes needed, {self._used_bytes} of {limit} in use, nothing to evict for it")

    def _shrink(self, spared: bytes | None) -> None:
        """Evict down to the limit after something grew by more than was foreseen."""
        self._evict(spared, self._limit_bytes)

    def _evict(
        self,
        spared: bytes | None,
        goal_bytes: int,
        most_count: int = sys.maxsize,
        writer: EvictionPolicy | None = None,
        within: EvictionPolicy | None = None,
    ) -> int:
        """Drop victims of the policies, or of one of them, and leave ghosts, until the store has come down to
        ``goal_bytes`` or nothing may go; return how many went."""
        live, tables, groups, policy, pending = self._live, self._tables, self._groups, self._policy, self._pending
        ghosts, prefix_shift, now_ms, done = self._ghosts, self._trees.prefix_shift, self._now_ms, 0
        sized: EvictionPolicy | Groups = groups if self._grouped else policy
        sized.patience = PATIENCE_COUNT
        while self._used_bytes > goal_bytes and done < most_count:
            before = live.size_bytes + sized.size_bytes
            if within is not None:
                victim = groups.victim_of(within, spared)
            else:
                victim = groups.victim(spared, writer) if self._grouped else policy.victim(spared, None)
            self._used_bytes += live.size_bytes + sized.size_bytes - before
            if victim is None:
                break
            done += 1
            shard, key = victim
            record = tables[shard].entries[key]
            if self._unswept and self._meet(shard, key, record) is not record:
                continue
            time, expire_ms = _read_times(record)
            growth = second = deleted = 0
            if expire_ms:
                due = due_of(record)
                if expire_ms <= now_ms:
                    if not leaves_nothing(record) or due * 1000 <= now_ms:
                        self._expire(shard, key, record, now_ms)
                        continue
                    deleted = DELETED
                second = 0 if record[1] == _MANY else due
                growth = self._wheel.remove(shard, key, due)
            if key in pending:
                self._settle_leaf(shard, key, record)
            hashed = key_hash(key)
            if record[1:4] in PLAIN_HEADS:
                added = digest(record[PLAIN_PREFIX], hashed ^ self.hash_seed) & CONTRIBUTION_MASK | deleted
            else:
                added = contribution(record, hashed ^ self.hash_seed) | deleted
            objects = object_bytes(len(key)) + object_bytes(len(record))
            self._live_bytes -= objects
            if not key[0]:
                self._count_out(key, objects)
            if self._grouped:
                policy = groups.policy_of(shard, key)
            growth += live.remove(shard, key) + policy.removed(shard, key, hashed, objects) - objects
            number = fingerprint(key, hashed >> prefix_shift & PREFIX_MASK)
            self._used_bytes += growth + ghosts.leave(shard, number, time, added, second, now_ms // 1000)
            self._evicted(shard, key, deleted)
        return done

    def _count_out(self, key: bytes, objects: int) -> None:
        """Count what an entry of a namespace no longer takes."""
        tenant = self.census.tenant(key)
        tenant.entries -= 1
        tenant.size_bytes -= objects

    def _evicted(self, shard: int, key: bytes, deleted: int) -> None:
        """Count a victim that has gone, ``deleted`` one that had expired, and tell of it."""
        if deleted:
            self.expired += 1
            self._gone_keys.add(key, MissReason.EXPIRED)
        else:
            self.evicted += 1
        if self.gone is not None:
            self.gone(shard, key, KeyChange.EXPIRE if deleted else KeyChange.EVICT)
