"""Whose entry makes room: groups of keys, each with a policy, some with a share of the memory.

What: every key belongs to a group: one for all keys that have no settings of their own, and one for each qualified
prefix (a namespace, ``00 length name``) that has. When room is needed, the group that is most above its fair part
gives it, and the policy of that group says who goes. A group with a ``memory_share`` never takes more than that part
of the bytes of entries: it evicts within itself (``over_share``).

Invariants: ``count`` and ``entry_bytes`` of all policies add up to those of the store. A key is counted by exactly one
policy: that of ``policy_of``. While settings change, shards below ``_moved`` are in order for the new ones and the
others for the old; ``tend`` moves a shard at a time, so that a change takes effect without a pause and a policy begins
with what it is given. A second change waits for the first.

Why by prefix: only keys whose first byte is 0 can belong to a group of their own, so that everybody else pays one truth
test. Why fair parts: a policy sees only its own entries; comparing how much each group has beyond its part needs no
common measure of worth.
"""

from collections.abc import Iterable
from random import Random

import attrs

from dynacache.errors import InvalidOption
from dynacache.namespaces.settings import GROUPS_LIMIT
from dynacache.storage.accounting import object_bytes
from dynacache.storage.contributions import key_hash
from dynacache.storage.eviction.drawing import Drawn
from dynacache.storage.eviction.policy import EvictionPolicy, NoEviction, cell_limit, first_cells
from dynacache.storage.eviction.queues import LFU, S3FIFO, TwoQueues
from dynacache.storage.eviction.recency import BucketLru, SampledLru
from dynacache.storage.tables import TableSet

__all__ = ["WORN_FACTOR", "Group", "GroupSettings", "Groups", "make_policy"]

WORN_FACTOR = 4
"""A group whose queues have so many places an entry begins anew: deletes and returns have left too many behind."""

_WORN_FREE = 4_096
_LEAST_REST = 0.05
_GROUP_CELLS_PART = 16


@attrs.frozen
class GroupSettings:
    """What sets a group apart. ``policy`` may be empty for the node's; ``memory_share`` 0 for none of its own."""

    prefix: bytes
    policy: str = ""
    memory_share: float = 0.0


@attrs.frozen(eq=False)
class Group:
    """A group at work."""

    settings: GroupSettings
    policy: EvictionPolicy


@attrs.frozen(eq=False)
class _Routes:
    default: Group
    named: dict[bytes, Group] = attrs.field(factory=dict)

    def of(self, key: bytes) -> Group:
        if key[:1] != b"\0" or len(key) < 2:
            return self.default
        return self.named.get(key[: 2 + key[1]], self.default)


def make_policy(name: str, live: TableSet, random: Random, limit_bytes: int, whole: bool) -> EvictionPolicy:
    """Return a policy by its name, ``whole`` for one over all keys. Raises InvalidOption."""
    part = 1 if whole else _GROUP_CELLS_PART
    first, most = first_cells(limit_bytes // part), cell_limit(limit_bytes // part)
    if name == "lru":
        return SampledLru(first, most, live, random) if whole else BucketLru(first, most, live)
    if name in ("s3fifo", "lfu"):
        return TwoQueues(first, most, live, LFU if name == "lfu" else S3FIFO, whole)
    if name in ("ttl", "random"):
        return Drawn(1, 1, live, random, name == "ttl", whole)
    if name == "noeviction":
        return NoEviction(1, 1)
    raise InvalidOption(f"eviction: got {name!r}, expected the name of a policy")


@attrs.define(eq=False)
class Groups:
    """All groups of a store. ``routed`` says that not every key belongs to ``default``."""

    live: TableSet
    random: Random
    limit_bytes: int
    policy_name: str
    default: EvictionPolicy = attrs.field(init=False)
    routed: bool = attrs.field(init=False, default=False)
    _now: _Routes = attrs.field(init=False)
    _before: _Routes | None = attrs.field(init=False, default=None)
    _moved: int = attrs.field(init=False, default=0)
    """Shards below have been moved to the routes of now."""

    _waiting: tuple[str, tuple[GroupSettings, ...]] | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.default = self._make(self.policy_name, True)
        self._now = _Routes(Group(GroupSettings(b"", self.policy_name), self.default))

    def _make(self, name: str, whole: bool) -> EvictionPolicy:
        return make_policy(name, self.live, self.random, self.limit_bytes, whole)

    # Whose a key is.

    def policy_of(self, shard: int, key: bytes) -> EvictionPolicy:
        """Return the policy that counts a key."""
        return self._group_of(shard, key).policy

    def _group_of(self, shard: int, key: bytes) -> Group:
        before = self._before
        return (self._now if before is None or shard < self._moved else before).of(key)

    def change(self, policy_name: str, groups: Iterable[GroupSettings]) -> None:
        """Set everybody's policy and the groups with settings of their own, the first ``GROUPS_LIMIT`` by prefix.

        Raises InvalidOption for an unknown policy. What is held moves in calls of ``tend``.
        """
        ordered = tuple(sorted(groups, key=lambda group: group.prefix)[:GROUPS_LIMIT])
        for name in (policy_name, *(group.policy or policy_name for group in ordered)):
            make_policy(name, self.live, self.random, 1, False)
        if self._before is not None:
            self._waiting = policy_name, ordered
            return
        now = self._now
        default = now.default if policy_name == self.policy_name else self._group(GroupSettings(b"", policy_name), True)
        self.policy_name = policy_name
        named = {}
        for settings in ordered:
            held = now.named.get(settings.prefix)
            same = held is not None and (held.settings.policy or policy_name) == (settings.policy or policy_name)
            named[settings.prefix] = (
                Group(settings, held.policy) if held is not None and same else self._group(settings, False)
            )
        self._before, self._now, self._moved = now, _Routes(default, named), 0
        self.default, self.routed = default.policy, True
        self.tend(0)

    def _group(self, settings: GroupSettings, whole: bool) -> Group:
        return Group(settings, self._make(settings.policy or self.policy_name, whole))

    def tend(self, budget: int) -> int:
        """Move entries to the policies of now, a shard at a time, until about ``budget`` were looked at; return how
        many were. The size of the policies' data changes."""
        before, looked = self._before, 0
        while before is not None and (looked < budget or not self.live.count):
            if self._moved >= len(self.live.tables):
                self._end_move()
                before = self._before
                continue
            looked += 1 + self._move(before, self._moved)
            self._moved += 1
        if before is None and self.routed and looked < budget:
            self._renew_worn()
        return looked

    def _move(self, before: _Routes, shard: int) -> int:
        now, entries = self._now, self.live.tables[shard].entries
        same_default = before.default.policy is now.default.policy
        for key, record in list(entries.items()):
            if same_default and key[:1] != b"\0":
                continue
            old, new = before.of(key).policy, now.of(key).policy
            if old is not new:
                hashed, size = key_hash(key), object_bytes(len(key)) + object_bytes(len(record))
                old.removed(shard, key, hashed, size)
                new.inserted(shard, key, hashed, size, True)
        return len(entries)

    def _end_move(self) -> None:
        self._before = None
        self.routed = bool(self._now.named)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.change(*waiting)

    def _renew_worn(self) -> None:
        """Begin anew with a group whose queues are full of places of entries that are gone."""
        for prefix, group in self._now.named.items():
            places: int = getattr(group.policy, "places", 0)
            if places > WORN_FACTOR * group.policy.count + _WORN_FREE:
                named = dict(self._now.named)
                named[prefix] = self._group(group.settings, False)
                self._before, self._now, self._moved = self._now, _Routes(self._now.default, named), 0
                return

    # Who goes.

    def groups(self) -> list[Group]:
        """Return the groups that may have entries, each policy once."""
        found = {group.policy: group for routes in (self._before, self._now) if routes for group in _all_of(routes)}
        return list(found.values())

    @property
    def patience(self) -> int:
        """The least patience of any policy."""
        return min(group.policy.patience for group in self.groups())

    @patience.setter
    def patience(self, count: int) -> None:
        for group in self.groups():
            group.policy.patience = count

    def victim(self, spared: bytes | None, writer: EvictionPolicy | None) -> tuple[int, bytes] | None:
        """Return (shard, key) of the entry that makes room for a group's write; None if nothing may go for it.

        A group that evicts nothing of its own gets room only from groups above their fair part.
        """
        if not self.routed:
            return self.default.victim(spared, None)
        ranked = self._by_excess()
        for excess, group in ranked:
            policy = group.policy
            if not policy.evicts or not policy.count or (excess <= 1 and writer is not None and not writer.evicts):
                continue
            found = self.victim_of(policy, spared)
            if found is not None:
                return found
        return None

    def victim_of(self, policy: EvictionPolicy, spared: bytes | None) -> tuple[int, bytes] | None:
        """Return the entry of one group that has to go."""
        return policy.victim(spared, lambda shard, key: self.policy_of(shard, key) is policy)

    def _by_excess(self) -> list[tuple[float, Group]]:
        """Return every group with its bytes divided by its fair part of all, the greatest first."""
        groups = self.groups()
        total = sum(group.policy.entry_bytes for group in groups) or 1
        reserved = sum(group.settings.memory_share for group in groups)
        others = sum(not group.settings.memory_share for group in groups)
        rest = max(_LEAST_REST, 1 - reserved) / max(1, others)
        ranked = [
            (group.policy.entry_bytes / (total * (group.settings.memory_share or rest)), place, group)
            for place, group in enumerate(groups)
        ]
        ranked.sort(key=lambda each: (-each[0], each[1]))
        return [(excess, group) for excess, _, group in ranked]

    def over_share(self, shard: int, key: bytes, growth: int, entries_limit_bytes: int) -> EvictionPolicy | None:
        """Return the policy of a key's group if ``growth`` more bytes take it beyond its share of the bytes that
        entries may have."""
        group = self._group_of(shard, key)
        share = group.settings.memory_share
        if share and group.policy.entry_bytes + growth > share * entries_limit_bytes:
            return group.policy
        return None

    def above_share(self, entries_limit_bytes: int) -> EvictionPolicy | None:
        """Return the policy of a group that has more than its share, which may have become smaller, and may evict."""
        for group in self._now.named.values():
            share, policy = group.settings.memory_share, group.policy
            if share and policy.entry_bytes > share * entries_limit_bytes and policy.evicts and policy.count:
                return policy
        return None

    def without_room(self, entries_limit_bytes: float) -> list[bytes]:
        """Return the prefixes of groups that have their whole share of so many bytes."""
        return [
            prefix
            for prefix, group in self._now.named.items()
            if group.settings.memory_share
            and group.policy.entry_bytes >= group.settings.memory_share * entries_limit_bytes
        ]

    def take_reads(self) -> list[tuple[bytes, set[int]]]:
        """Return and forget the hashes of keys that were sampled when read, by the prefix of their group."""
        found = []
        for group in self.groups():
            found.append((group.settings.prefix, set(group.policy.reads)))
            group.policy.reads.clear()
        return found

    def policy_of_prefix(self, prefix: bytes) -> EvictionPolicy:
        """Return the policy of a group, everybody's where there is none."""
        return self._now.named.get(prefix, self._now.default).policy

    @property
    def is_moving(self) -> bool:
        """Whether entries are still with the policies of before."""
        return self._before is not None

    @property
    def evicts(self) -> bool:
        """Whether any group may ever evict."""
        return any(group.policy.evicts for group in self.groups())

    @property
    def size_bytes(self) -> int:
        """The memory of the data of all policies."""
        if not self.routed:
            return self.default.size_bytes
        return sum(group.policy.size_bytes for group in self.groups())

    def recount_bytes(self) -> int:
        """The same, by visiting everything."""
        return sum(group.policy.recount_bytes() for group in self.groups())


def _all_of(routes: _Routes) -> list[Group]:
    return [routes.default, *routes.named.values()]
