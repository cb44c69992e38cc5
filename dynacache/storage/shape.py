"""The state of a store: tables, wheel, ghosts, trees and policy, one of each shard, and what they share.

What: ``Shape`` makes the parts and adds shards to them; ``holdings`` adds the steps that move them together.

Invariants: a shard is a partition; every part knows every shard. The limit holds the empty store twice over. The
partitions of a further replication factor are added when the first namespace has it (``add_factor``); shards between,
of factors that nobody uses, hold nothing and cost some places in lists.

Why apart from the steps: a file that is read to the end. The parts are attributes of one object because a hot call
touches four of them, and each call between objects costs as much as the dictionary does.
"""

from collections.abc import Callable
from random import Random
from typing import TypeVar

import attrs
from pyroaring import BitMap

from dynacache.config.storage import StorageSettings
from dynacache.errors import InvalidOption
from dynacache.storage.census import Census
from dynacache.storage.contributions import contribution, fingerprint, key_hash
from dynacache.storage.epochs import Epochs
from dynacache.storage.eviction.groups import Groups
from dynacache.storage.eviction.policy import EvictionPolicy
from dynacache.storage.expiry import ExpiryWheel
from dynacache.storage.ghost_shard import Ghost
from dynacache.storage.ghosts import Ghosts
from dynacache.storage.gone import GoneKeys, slots_of
from dynacache.storage.reaper import SHARD_REAPER_BYTES, Reaper
from dynacache.storage.tables import TABLE_BYTES, Table, TableSet
from dynacache.storage.trees import SHARD_TREE_BYTES, Trees

__all__ = ["PENDING_BYTES", "PENDING_LIMIT_COUNT", "Shape"]

PENDING_LIMIT_COUNT = 16_384
"""Keys, at most, whose leaves may wait to be brought up to date; fewer under a small limit, none without eviction, as
nothing could make room for them."""

PENDING_BYTES = 320
"""What such a key costs: a slot, the key, the version prefix and what holds them together."""

_BYTES_A_PENDING = 16_384

_SHARD_BYTES = 2 * TABLE_BYTES + SHARD_TREE_BYTES + SHARD_REAPER_BYTES
_VACANT_BYTES = SHARD_TREE_BYTES + SHARD_REAPER_BYTES + 40
"""What a shard costs that is not used: its places in lists and arrays."""


_R = TypeVar("_R")


def _unconfirmed(partition: int, prefix: int) -> bool:
    return False


@attrs.define(eq=False)
class Shape:
    """Records, tombstones, ghosts, repair trees and their accounts.

    ``_live_bytes`` and ``_tombstone_bytes`` are those of keys and records, without dictionaries. ``hash_seed`` (32
    bits, the same in all of a cluster) and ``confirmed`` are the node's to set, the seed before anything is stored.
    """

    settings: StorageSettings
    partition_count: int
    random: Random
    warming: BitMap = attrs.field(init=False, factory=BitMap)
    stale: BitMap = attrs.field(init=False, factory=BitMap)
    dirty: BitMap = attrs.field(init=False, factory=BitMap)
    hash_seed: int = attrs.field(init=False, default=0)
    confirmed: Callable[[int, int], bool] = attrs.field(init=False, default=_unconfirmed)
    """Of (partition, prefix): whether every owner is known to hold what this one does there."""

    epochs: Epochs = attrs.field(init=False, factory=Epochs)
    """Up to when what has been invalidated; see ``invalidation``."""
    gone: Callable[[int, bytes, int], None] | None = attrs.field(init=False, default=None)
    """Told of (partition, key, ``KeyChange``) when an entry expires or is evicted; None while nobody listens."""

    hits: int = attrs.field(init=False, default=0)
    misses: int = attrs.field(init=False, default=0)
    evicted: int = attrs.field(init=False, default=0)
    expired: int = attrs.field(init=False, default=0)
    reaped: int = attrs.field(init=False, default=0)
    reaped_early: int = attrs.field(init=False, default=0)
    _next_sample: int = attrs.field(init=False, default=0)
    """The count of hits at which a read is remembered."""

    witnessed: int = attrs.field(init=False, default=0)
    refused: int = attrs.field(init=False, default=0)

    census: Census = attrs.field(init=False, factory=Census)
    """What each namespace holds."""
    keeps_newest: Callable[[bytes], bool] | None = attrs.field(init=False, default=None)
    """Tells of a key whether one value alone of several concurrent ones is kept; None where that is so of no key. The
    node's to set."""
    discarded: int = attrs.field(init=False, default=0)
    """Concurrent values that were left out for a newer one."""

    _live: TableSet = attrs.field(init=False, factory=TableSet)
    _tables: list[Table[bytes]] = attrs.field(init=False)
    _tombstones: TableSet = attrs.field(init=False, factory=TableSet)
    _wheel: ExpiryWheel = attrs.field(init=False)
    _trees: Trees = attrs.field(init=False)
    _pending: dict[bytes, tuple[int, bytes]] = attrs.field(init=False, factory=dict)
    """Keys whose leaf is behind: shard, and the version prefix of the plain record that the leaf still counts."""

    _pending_limit: int = attrs.field(init=False)
    _ghosts: Ghosts = attrs.field(init=False)
    _gone_keys: GoneKeys = attrs.field(init=False)
    _groups: Groups = attrs.field(init=False)
    _policy: EvictionPolicy = attrs.field(init=False)
    """Everybody's: that of all keys but those of groups with settings of their own."""

    _grouped: bool = attrs.field(init=False, default=False)
    """There are such groups, or entries move between policies."""

    _reaper: Reaper = attrs.field(init=False)
    _limit_bytes: int = attrs.field(init=False)
    _tombstone_limit_bytes: int = attrs.field(init=False)
    _factors: set[int] = attrs.field(init=False, factory=set)
    """Whose partitions there are; 0 is the cluster's own replication factor."""
    _used_bytes: int = attrs.field(init=False, default=0)
    _live_bytes: int = attrs.field(init=False, default=0)
    _tombstone_bytes: int = attrs.field(init=False, default=0)
    _now_ms: int = attrs.field(init=False, default=0)
    _judging: bool = attrs.field(init=False, default=False)
    """There are epochs."""

    _unswept: bool = attrs.field(init=False, default=False)
    """Something that an epoch has ended may be held still."""

    def __attrs_post_init__(self) -> None:
        settings, limit_bytes = self.settings, self.settings.limit_bytes
        self._limit_bytes = limit_bytes
        self._tombstone_limit_bytes = int(limit_bytes * settings.tombstone_share)
        self._tables = self._live.tables
        self._wheel = ExpiryWheel()
        self._reaper = Reaper(settings.gc_grace_min_ms, settings.gc_grace_max_ms)
        self._trees = Trees(self.partition_count)
        ghosts_bytes = int(limit_bytes * settings.ghost_share)
        self._ghosts = Ghosts.of_share(self._trees, ghosts_bytes, self.partition_count, self._reaper.grace_s)
        self._groups = Groups(self._live, self.random, limit_bytes, settings.eviction)
        self._policy = self._groups.default
        self._pending_limit = min(PENDING_LIMIT_COUNT, limit_bytes // _BYTES_A_PENDING) if self._groups.evicts else 0
        self._gone_keys = GoneKeys(slots_of(limit_bytes))
        self._used_bytes = self._groups.size_bytes + self._gone_keys.size_bytes
        self.add_factor(0)
        if limit_bytes < 2 * self._used_bytes:
            raise InvalidOption(
                f"storage.limit_bytes: got {limit_bytes}, expected at least {2 * self._used_bytes}"
                f" for {self.partition_count} partitions"
            )

    # Shape.

    def add_factor(self, factor: int) -> None:
        """Make the partitions of a replication factor, ``factor * partition_count`` and on, if they are not there."""
        if factor in self._factors:
            return
        before = self._live.size_bytes + self._tombstones.size_bytes + self._base_bytes()
        self._factors.add(factor)
        first, end = factor * self.partition_count, (factor + 1) * self.partition_count
        more = max(0, end - len(self._tables))
        for tables in (self._live, self._tombstones):
            tables.skip(end)
            tables.fill(first, end)
        self._wheel.extend(more)
        self._trees.extend(more)
        self._reaper.extend(more)
        self._used_bytes += self._live.size_bytes + self._tombstones.size_bytes + self._base_bytes() - before
        ghosts_before = self._ghosts.size_bytes
        self._ghosts.extend(self.partition_count)
        self._used_bytes += self._ghosts.size_bytes - ghosts_before

    @property
    def partitions(self) -> list[range]:
        """The numbers of the partitions that there are."""
        count = self.partition_count
        return [range(factor * count, (factor + 1) * count) for factor in sorted(self._factors)]

    @property
    def shard_count(self) -> int:
        """A number above those of all partitions."""
        return len(self._tables)

    def _base_bytes(self) -> int:
        used = len(self._factors) * self.partition_count
        shards = _SHARD_BYTES * used + _VACANT_BYTES * (len(self._tables) - used)
        return self._groups.size_bytes + self._gone_keys.size_bytes + shards

    # Trees.

    def _contribution(self, key: bytes, record: bytes | None) -> int:
        return 0 if record is None else contribution(record, key_hash(key) ^ self.hash_seed)

    def _toggle(self, shard: int, key: bytes, difference: int, marked: bool = True) -> None:
        if difference:
            trees = self._trees
            self._used_bytes += trees.toggle(shard, trees.prefix(key_hash(key)), difference, marked)

    # Ghosts.

    def _fingerprint(self, key: bytes) -> int:
        return fingerprint(key, self._trees.prefix(key_hash(key)))

    def _take_ghost(self, shard: int, key: bytes, prefix: int) -> int:
        """Forget the ghost of a key that is being stored; return its contribution, which is still in the tree."""
        ghosts = self._ghosts
        before = ghosts.size_bytes
        taken = ghosts.take(shard, fingerprint(key, prefix))
        self._used_bytes += ghosts.size_bytes - before
        return taken

    def _leave_ghost(self, shard: int, ghost: Ghost) -> None:
        """Keep the memory of an entry whose contribution is in the tree."""
        self._used_bytes += self._ghosts.add(shard, *ghost, self._now_ms // 1000)

    # Groups.

    def _policy_of(self, shard: int, key: bytes) -> EvictionPolicy:
        """Return the policy that counts a key."""
        return self._groups.policy_of(shard, key) if self._grouped else self._policy

    def _change_groups(self, change: Callable[[Groups], _R]) -> _R:
        """Make a change to the groups that may replace policies and move entries between them."""
        groups = self._groups
        before = groups.size_bytes + self._live.size_bytes
        result = change(groups)
        self._used_bytes += groups.size_bytes + self._live.size_bytes - before
        self._policy, self._grouped = groups.default, groups.routed
        return result
