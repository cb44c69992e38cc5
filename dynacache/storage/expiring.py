"""What has expired leaves the store: thousands at a time, at a microsecond or two each.

What: ``Expiring`` adds to ``holdings`` what happens to a record whose time has come: when a call meets it, when it is
evicted, and in slices of clean-up, as the wheel hands out what is due.

Invariants: a plain value that leaves nothing goes in the second of its bucket on every replica, and its contribution
with it, unmarked; anything else leaves what ``packed.clean`` says in its place. A slice looks at no more entries than
it was given, and the accounts are right after each.

Why a way of its own for plain values: they are nearly all of what expires, and to take each apart from tables, tree,
policy and accounts costs four times what the work itself does: a call, an attribute and a sum for each structure. A
slice goes through one structure after the other instead, in loops that the interpreter runs fast, and adds up once.
"""

from collections.abc import Sequence

import attrs

from dynacache.storage.accounting import object_bytes, objects_bytes
from dynacache.storage.contributions import CONTRIBUTION_MASK, PLAIN_HEADS, PLAIN_PREFIX, digest, key_hash
from dynacache.storage.holdings import Holdings
from dynacache.storage.records import due_of, is_tombstone, leaves_nothing
from dynacache.types import KeyChange, MissReason
from dynacache.versioning import packed

__all__ = ["Expiring"]

_HEAD = slice(1, 4)


@attrs.define(eq=False)
class Expiring(Holdings):
    """The store as time passes."""

    def _meet_expired(self, shard: int, key: bytes, record: bytes, now_ms: int) -> bytes | None:
        """Return what is left of a record that a call came upon after its expiry. One that leaves nothing stays where
        it is until its second, when it goes on every replica, so that their trees agree."""
        if leaves_nothing(record):
            return None
        left = self._expire(shard, key, record, now_ms)
        if self._used_bytes > self._limit_bytes:
            self._shrink(key)
        return left

    def _expire(self, shard: int, key: bytes, record: bytes, now_ms: int, scheduled: bool = True) -> bytes | None:
        """Put what a record leaves at ``now_ms`` in its place and return it. Never refused, even beyond the share of
        tombstones: it takes no more room than before, and without it what has ended would come back."""
        left = packed.clean(record, now_ms)
        if left is record:
            assert scheduled, "a bucket of the wheel is due only when everything in it has expired"
            return record
        self.expired += 1
        before, after = self._contribution(key, record), self._contribution(key, left)
        in_time = not scheduled or due_of(record) * 1000 <= now_ms
        self._toggle(shard, key, before ^ after, marked=left is not None or not in_time)
        if left is None or is_tombstone(left):
            self._drop_live(shard, key, record, scheduled)
            if left is not None:
                self._store_tombstone(shard, key, left)
            else:
                self._gone_keys.add(key, MissReason.EXPIRED)
            if self.gone is not None:
                self.gone(shard, key, KeyChange.EXPIRE)
            return left
        self._settle_leaf(shard, key, record)
        growth = object_bytes(len(left)) - object_bytes(len(record))
        self._resize(shard, key, growth)
        self._tables[shard].entries[key] = left
        self._reschedule(shard, key, due_of(record) if scheduled else 0, due_of(left))
        return left

    def _collect_expired(self, now_ms: int, budget: int) -> int:
        """Let up to ``budget`` entries go that are due; return how many it was."""
        wheel, pending, tables = self._wheel, self._pending, self._tables
        before = wheel.size_bytes
        taken = wheel.take(now_ms, budget)
        self._used_bytes += wheel.size_bytes - before
        if not taken:
            return 0
        keys, shards = zip(*taken, strict=True)
        records = [tables[shard].entries[key] for key, shard in taken]
        if {record[_HEAD] for record in records} <= PLAIN_HEADS and (not pending or pending.keys().isdisjoint(keys)):
            self._drop_plain(keys, shards, records)
            return len(taken)
        plain = []
        for key, shard, record in zip(keys, shards, records, strict=True):
            if record[_HEAD] in PLAIN_HEADS and key not in pending:
                plain.append((key, shard, record))
            else:
                self._expire(shard, key, record, now_ms, scheduled=False)
        if plain:
            self._drop_plain(*zip(*plain, strict=True))
        return len(taken)

    def _drop_plain(self, keys: Sequence[bytes], shards: Sequence[int], records: Sequence[bytes]) -> None:
        """Drop plain values that leave nothing, which the wheel has handed out and whose leaves are up to date."""
        self._drop_many(keys, shards, records, MissReason.EXPIRED)
        self.expired += len(keys)
        if self.gone is not None:
            for shard, key in zip(shards, keys, strict=True):
                self.gone(shard, key, KeyChange.EXPIRE)

    def _drop_many(
        self, keys: Sequence[bytes], shards: Sequence[int], records: Sequence[bytes], reason: MissReason
    ) -> None:
        """Drop plain values, which the wheel has let go and whose leaves are up to date, and unmarked what they
        contribute."""
        hashes, seed = list(map(key_hash, keys)), self.hash_seed
        seeds = [hashed ^ seed for hashed in hashes] if seed else hashes
        digests = map(digest, [record[PLAIN_PREFIX] for record in records], seeds)
        self._trees.leave(shards, hashes, [number & CONTRIBUTION_MASK for number in digests])
        objects = objects_bytes(keys) + objects_bytes(records)
        growth = self._live.remove_many(shards, keys)
        if self._grouped:
            for shard, key, hashed, record in zip(shards, keys, hashes, records, strict=True):
                size = object_bytes(len(key)) + object_bytes(len(record))
                growth += self._groups.policy_of(shard, key).removed(shard, key, hashed, size)
        else:
            growth += self._policy.removed_many(shards, keys, hashes, objects)
        if self.census.is_used:
            for key, record in zip(keys, records, strict=True):
                if not key[0]:
                    self.census.count(key, -1, -object_bytes(len(key)) - object_bytes(len(record)))
        self._live_bytes -= objects
        self._used_bytes += growth - objects
        self._gone_keys.add_many(keys, hashes, reason)
