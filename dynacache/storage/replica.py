"""What repair and transfer see of the store: trees to compare, ghosts to exchange, whole partitions to hand over.

What: the engine's calls for other replicas of the same partition, over ``holdings``.

Invariants: after ``sweep`` returned True, roots and leaves of two replicas that hold or remember the same are equal,
whatever each has evicted, expired or reaped: what leaves by the clock leaves all of them in the same second. A digest
is taken of what is left once everything due in its partition has gone.

Why the contribution outlives the entry: see ``ghosts``. Why ``sweep`` may say "not now": a hundred thousand entries may
end in one second, and no call may take longer than a slice; comparing in the middle of it would find differences that
are none. DESIGN section 8; brief R8.1 to R8.11, R2.6.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence

import attrs
from pyroaring import BitMap

from dynacache.storage.contributions import DELETED, contribution, fingerprint, key_hash
from dynacache.storage.evicting import EVICTION_COST
from dynacache.storage.eviction.policy import EvictionPolicy
from dynacache.storage.ghost_shard import Ghost
from dynacache.storage.invalidation import Invalidation
from dynacache.storage.listing import Listed, Listing
from dynacache.storage.records import is_tombstone
from dynacache.storage.snapshot import Snapshot, unpack_ghosts
from dynacache.versioning import packed

__all__ = ["ADMIT_SHARE", "JOURNAL_COUNT", "SWEEP_COUNT", "Replica"]

ADMIT_SHARE = 0.85
"""Above this part of the limit what repair brings is witnessed instead of taken."""

SWEEP_COUNT = 1_000
"""Entries, ghosts and tombstones that one call of ``sweep`` looks at before it says that there is more."""

JOURNAL_COUNT = 8_192
"""Changes that may wait to be noted by leaf before clean-up notes them though nobody asked."""

_GHOSTS_INTERVAL_MS = 10_000
_SHARDS_A_SLICE = 32


@attrs.define(eq=False)
class Replica(Invalidation):
    """The store as a replica among others."""

    _next_ghosts_ms: int = attrs.field(init=False, default=0)
    _next_tended: int = attrs.field(init=False, default=0)

    # Comparing.

    @property
    def roots(self) -> "array[int]":
        """The roots of all partitions, not to be changed; to be compared after ``sweep`` returned True."""
        self._settle_trees()
        return self._trees.roots

    def take_changed(self) -> BitMap:
        """Return ``partition << 14 | prefix`` of all that changed since the last call."""
        self._settle_trees()
        return self._trees.take_changed()

    def sweep(self, now_ms: int) -> bool:
        """Let everything go that has reached its second, within ``SWEEP_COUNT`` looks.

        True when nothing due is left: digests may be compared. False: call again soon, and compare nothing now.
        """
        self._now_ms, now_s = now_ms, now_ms // 1000
        looked = self._collect_expired(now_ms, SWEEP_COUNT)
        if looked >= SWEEP_COUNT:
            return False
        for shard in self._ghosts.due_shards(now_s):
            looked += self._sweep_ghosts(shard, now_s)
            if looked >= SWEEP_COUNT:
                return False
        for shard in self._reaper.due_shards(now_s):
            if not self._is_held(shard):
                looked += self._sweep_tombstones(shard)
                if looked >= SWEEP_COUNT:
                    return False
        return self._settle_trees(SWEEP_COUNT - looked)

    def tree_level(self, partition: int) -> int:
        """Return the level at which a partition can be compared, 3 to 14."""
        return self._trees.level(partition)

    def root(self, partition: int) -> int:
        """Return the XOR of all that the partition holds and remembers."""
        self._settle(partition)
        return self._trees.root(partition)

    def leaf_digests(self, partition: int, level: int, leaves: Sequence[int]) -> "array[int]":
        """Return some leaves of the tree at a level. Raises ValueError if our tree has a lower one, IndexError if it
        has no such leaf."""
        self._settle(partition)
        folded = self._trees.folded(partition, level)
        return array("Q", [folded[leaf] for leaf in leaves])

    def leaf_entries(self, partition: int, level: int, leaves: BitMap, now_ms: int) -> list[Listed]:
        """Return what makes up some leaves, ordered by leaf and fingerprint, in one scan; never what leaves within two
        seconds. Raises ValueError if our tree has a lower level."""
        self._now_ms = now_ms
        self._settle(partition)
        self._trees.check_level(partition, level)
        listing = Listing(self._trees, self.hash_seed, self._reaper.grace_s, level, leaves, now_ms)
        listing.records(self._tables[partition].entries)
        listing.records(self._tombstones.tables[partition].entries)
        listing.ghosts(self._ghosts.of(partition))
        return listing.sorted()

    def fingerprint(self, partition: int, key: bytes) -> int:
        """Return the number by which a key is listed and remembered."""
        return self._fingerprint(key)

    def find_fingerprint(self, partition: int, fingerprints: set[int]) -> dict[int, bytes]:
        """Return the keys that are stored with some fingerprints, in one scan."""
        prefix = self._trees.prefix
        prefixes = {wanted >> 50 for wanted in fingerprints}
        found: dict[int, bytes] = {}
        for entries in (self._tables[partition].entries, self._tombstones.tables[partition].entries):
            for key in entries:
                place = prefix(key_hash(key))
                if place in prefixes and (number := fingerprint(key, place)) in fingerprints:
                    found[number] = key
        return found

    def check_trees(self, partition: int) -> bool:
        """Tell whether a tree is what its partition would build now: slow, for checkers."""
        self._settle_trees()
        trees = self._trees
        level = trees.level(partition)
        built = array("Q", bytes(8 << level))
        root = 0
        for prefix, added in self._all_contributions(partition):
            built[prefix >> (14 - level)] ^= added
            root ^= added
        return trees.folded(partition, level) == built and trees.root(partition) == root

    # Ghosts.

    def admits(self) -> bool:
        """Tell whether there is room for what repair brings."""
        return self._used_bytes < self._limit_bytes * ADMIT_SHARE

    def room(self) -> bool | list[bytes]:
        """Return whether there is room for what repair brings; or the prefixes of the keys that there is none for,
        since their groups have nearly all of their shares."""
        if not self.admits():
            return False
        return (self._grouped and self._groups.without_room(self._entries_limit_bytes() * ADMIT_SHARE)) or True

    def admits_key(self, key: bytes) -> bool:
        """Tell whether there is room for what repair brings of a key."""
        if key[0] or not self._grouped:
            return self.admits()
        room = self.room()
        return room is True or (room is not False and key[: 2 + key[1]] not in room)

    def witness(
        self, partition: int, fingerprint: int, version_hash: int, time: int, expire_s: int, deleted: bool
    ) -> None:
        """Remember a version that another replica holds or remembers and this one does not take; see
        ``witness_many``."""
        self.witness_many(partition, [(fingerprint, version_hash, time, expire_s, deleted)])

    def witness_many(
        self, partition: int, versions: Iterable[tuple[int, int, int, int, bool]], superseding: bool = False
    ) -> int:
        """Remember versions as (fingerprint, version hash, hybrid time, second at which it goes or 0, deleted), in one
        scan; return how many are remembered now.

        Left out are those whose second has come and those for which there is no room: no ghost is forgotten for one,
        but a miss in the partition may be an eviction from then on.
        Of a stored key, a deleted version takes with it what is older than itself; all else leaves the key alone unless
        it is ``superseding``.
        """
        wanted = {version[0]: version for version in versions}
        stored = self.find_fingerprint(partition, set(wanted))
        taken = 0
        for number, version_hash, time, second, deleted in wanted.values():
            supersedes = deleted or superseding
            if number not in stored or (supersedes and self._discard_before(partition, stored[number], time)):
                added = version_hash & ~DELETED | (DELETED if deleted else 0)
                taken += self._witness(partition, (number, time, added, second))
        return taken

    def _witness(self, partition: int, ghost: Ghost) -> bool:
        """Remember a version of a key that is not stored; False if it was left out."""
        now_s = self._now_ms // 1000
        held = self._ghosts.find(partition, ghost[0], now_s)
        if held is not None and held[1] >= ghost[1]:
            return True
        if 0 < ghost[3] <= now_s:
            return False
        if held is None and not self._ghosts.has_room(partition):
            if not ghost[2] & DELETED:
                self._ghosts.forgot.add(partition)
            return False
        self._used_bytes += self._trees.toggle(partition, ghost[0] >> 50, ghost[2] & ~DELETED)
        self._leave_ghost(partition, ghost)
        self.witnessed += 1
        if self._used_bytes > self._limit_bytes:
            self._shrink(None)
        return True

    def drop_ghosts(self, partition: int, fingerprints: Iterable[int]) -> None:
        """Forget some ghosts: no replica is known to hold what they stand for. A third one may hold it all the same, so
        a miss in the partition may be an eviction from then on."""
        ghosts, now_s = self._ghosts, self._now_ms // 1000
        before = ghosts.size_bytes
        for number in fingerprints:
            ghost = ghosts.find(partition, number, now_s)
            if ghost is not None and not ghost[2] & DELETED:
                ghosts.forgot.add(partition)
            ghosts.discard(partition, number)
        self._used_bytes += ghosts.size_bytes - before

    # Whole partitions.

    def discard_older(self, partition: int, before_ms: int) -> None:
        """Keep of every record only versions made at or after an instant, with a context of exactly those; drop ghosts
        of older ones. For a copy that was away too long (brief R2.6)."""
        for key in [*self._tables[partition].entries, *self._tombstones.tables[partition].entries]:
            self._discard_before(partition, key, before_ms << 16)
        self.drop_ghosts(partition, [ghost[0] for ghost in self._ghosts.of(partition) if ghost[1] < before_ms << 16])

    def discard_entries(self, partition: int, keys: Iterable[bytes], ghosts: Iterable[int], before_ms: int) -> None:
        """As ``discard_older``, of some stored keys and some ghosts (by fingerprint) alone."""
        for key in keys:
            if key in self._tables[partition].entries or key in self._tombstones.tables[partition].entries:
                self._discard_before(partition, key, before_ms << 16)
        wanted = set(ghosts)
        if wanted:
            older = [ghost[0] for ghost in self._ghosts.of(partition) if ghost[1] < before_ms << 16]
            self.drop_ghosts(partition, [number for number in older if number in wanted])

    def _discard_before(self, partition: int, key: bytes, time: int) -> bool:
        """Keep of a stored key what is not older than a hybrid time; True if nothing is left."""
        live = self._tables[partition].entries.get(key)
        record = self._tombstones.tables[partition].entries[key] if live is None else live
        kept = packed.since(record, time)
        if kept is record:
            return False
        if live is not None and kept is not None and not is_tombstone(kept):
            self._replace(partition, key, live, kept)
            return False
        if live is None:
            self._drop_tombstone(partition, key)
        else:
            self._drop_live(partition, key, live)
        if kept is not None:
            self._store_tombstone(partition, key, kept)
        self._toggle(partition, key, self._contribution(key, record) ^ self._contribution(key, kept))
        return kept is None

    def clear(self, partition: int) -> None:
        """Drop everything of a partition without a trace: records, tombstones, ghosts and their tree."""
        before = self._ghosts.size_bytes
        self._ghosts.clear(partition)
        self._used_bytes += self._ghosts.size_bytes - before
        for key, record in list(self._tables[partition].entries.items()):
            self._drop_live(partition, key, record)
        for key in list(self._tombstones.tables[partition].entries):
            self._drop_tombstone(partition, key)
        self._used_bytes += self._trees.clear(partition)

    def remembers(self, partition: int) -> bool:
        """Tell whether a value is remembered here that was evicted or only witnessed."""
        return self._ghosts.has_values(partition)

    def has_forgotten(self, partition: int) -> bool:
        """Tell whether a miss in a partition may be an eviction that is not remembered."""
        return partition in self._ghosts.forgot

    def note_forgotten(self, partition: int) -> None:
        """Take note that the copy which this one was filled from has forgotten evictions."""
        self._ghosts.forgot.add(partition)

    def snapshot(self, partition: int) -> Snapshot:
        """Return a view from which a partition can be read in pages while it changes."""
        self._settle(partition)
        tables, tombstones, ghosts = self._tables, self._tombstones.tables, self._ghosts
        return Snapshot.of(tables[partition], tombstones[partition], lambda: list(ghosts.of(partition)))

    def take_ghosts(self, partition: int, ghosts: bytes) -> None:
        """Remember what the source of a transfer remembers. Raises ValueError for malformed bytes.

        What is held here of a key, from another source, and is older than what this one has evicted goes: the source
        would not have taken it either, and whose page came first must not matter.
        """
        self.witness_many(
            partition,
            [
                (number, added & ~DELETED, time, second, bool(added & DELETED))
                for number, time, added, second in unpack_ghosts(ghosts)
            ],
            superseding=True,
        )

    # Background.

    def _settle(self, shard: int) -> None:
        """Let ghosts and tombstones of one shard go that have reached their second; bring leaves up to date."""
        if self._unswept:
            self._sweep_shard(shard)
        self._settle_trees()
        now_s = self._now_ms // 1000
        self._sweep_ghosts(shard, now_s)
        if self._reaper.is_due(shard, now_s) and not self._is_held(shard):
            self._sweep_tombstones(shard)

    def _sweep_ghosts(self, shard: int, now_s: int) -> int:
        before = self._ghosts.size_bytes
        looked = self._ghosts.sweep(shard, now_s)
        self._used_bytes += self._ghosts.size_bytes - before
        return looked >> 3

    def _sweep_tombstones(self, shard: int) -> int:
        entries = self._tombstones.tables[shard].entries
        looked = len(entries)
        for _, key, is_early in self._reaper.examine(shard, entries, self._now_ms, ()):
            self._reap_one(shard, key, is_early)
        return looked

    def _is_held(self, shard: int) -> bool:
        return shard in self.warming or shard in self.stale

    def _tend(self, now_ms: int, budget: int) -> int:
        """Let ghosts go whose second has come, and give trees the level that suits them; return the entries looked
        at."""
        done = 0
        if now_ms >= self._next_ghosts_ms:
            for shard in self._ghosts.due_shards(now_ms // 1000):
                done += self._sweep_ghosts(shard, now_ms // 1000)
                if done >= budget:
                    return done
            self._next_ghosts_ms = now_ms + _GHOSTS_INTERVAL_MS
        if self._grouped:
            done += self._change_groups(lambda groups: groups.tend(budget - done))
        trees = self._trees
        if len(trees.journal) > JOURNAL_COUNT:
            trees.write_up()
        if not trees.is_growing:
            self._find_misfit()
        growth, added = trees.grow(budget - done)
        self._used_bytes += growth
        return done + added

    def _above_share(self) -> EvictionPolicy | None:
        """Return the policy of a group that has more than its share of what entries may have."""
        return self._groups.above_share(self._entries_limit_bytes())

    def _entries_limit_bytes(self) -> int:
        """Return what entries may have beside all else."""
        return max(0, self._limit_bytes - self._used_bytes + self._live_bytes)

    def _trim_groups(self, budget: int) -> int:
        """Evict from groups that have more than their share; return how many entries went."""
        done = 0
        while done < budget and (policy := self._above_share()) is not None and self._evict(None, 0, 1, within=policy):
            done += EVICTION_COST
        return done

    def _find_misfit(self) -> None:
        """Change the level of the first of the next few shards that needs it, if any does."""
        trees, shards = self._trees, len(self._tables)
        for _ in range(min(_SHARDS_A_SLICE, shards)):
            shard = self._next_tended = (self._next_tended + 1) % shards
            count = len(self._tables[shard].entries) + len(self._tombstones.tables[shard].entries)
            level = trees.misfit(shard, count + self._ghosts.count_of(shard))
            if level < trees.level(shard):
                self._used_bytes += trees.shrink(shard, level)
                return
            if level > trees.level(shard):
                self._used_bytes += trees.start_growth(shard, level, self._all_contributions(shard))
                return

    def _all_contributions(self, shard: int) -> Iterator[tuple[int, int]]:
        """Return (prefix, contribution) of all that a shard holds and remembers at the time of the call."""
        self._settle_shard(shard)
        records = list(self._tables[shard].entries.items())
        records += self._tombstones.tables[shard].entries.items()
        return self._contributions_of(records, list(self._ghosts.of(shard)))

    def _contributions_of(self, records: list[tuple[bytes, bytes]], ghosts: list[Ghost]) -> Iterator[tuple[int, int]]:
        prefix, seed = self._trees.prefix, self.hash_seed
        for key, record in records:
            hashed = key_hash(key)
            yield prefix(hashed), contribution(record, hashed ^ seed)
        for number, _, added, _ in ghosts:
            yield number >> 50, added & ~DELETED
