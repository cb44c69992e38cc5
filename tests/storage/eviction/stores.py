"""A table set with a policy beside it: the least that uses a policy, for the tests of policies."""

import random

from dynacache.storage.accounting import object_bytes
from dynacache.storage.contributions import key_hash
from dynacache.storage.eviction.groups import make_policy
from dynacache.storage.eviction.policy import PATIENCE_COUNT, EvictionPolicy, Owner
from dynacache.storage.tables import TableSet

__all__ = ["POLICIES", "Store"]

POLICIES = ("s3fifo", "lru", "lfu", "ttl", "random")
_HEAD = bytes(13)


class Store:
    """Entries of given sizes in shards, and a policy that is told of everything."""

    def __init__(
        self, name: str, shards: int = 4, whole: bool = True, seed: int = 1, limit_bytes: int = 1 << 20
    ) -> None:
        self.live = TableSet()
        self.live.extend(shards)
        self.shards = shards
        self.owns: Owner | None = None
        self.policy: EvictionPolicy = make_policy(name, self.live, random.Random(seed), limit_bytes, whole)
        self.grown = self.policy.size_bytes

    def shard_of(self, key: bytes) -> int:
        return key_hash(key) % self.shards

    def has(self, key: bytes) -> bool:
        return key in self.live.tables[self.shard_of(key)].entries

    def insert(self, key: bytes, length: int = 64, expire_ms: int = 0, returned: bool = False) -> None:
        shard, record = self.shard_of(key), _HEAD + expire_ms.to_bytes(8, "big") + bytes(length)
        self.live.insert(shard, key, record)
        before = self.live.size_bytes
        growth = self.policy.inserted(shard, key, key_hash(key), self.size(key), returned)
        self.grown += growth - (self.live.size_bytes - before)

    def size(self, key: bytes) -> int:
        record = self.live.tables[self.shard_of(key)].entries[key]
        return object_bytes(len(key)) + object_bytes(len(record))

    def read(self, key: bytes) -> None:
        policy = self.policy
        slot = key_hash(key) & policy.mask
        policy.cells[slot] = policy.steps[policy.cells[slot]]

    def remove(self, key: bytes) -> None:
        size = self.size(key)
        self.live.remove(self.shard_of(key), key)
        self.grown += self.policy.removed(self.shard_of(key), key, key_hash(key), size)

    def evict(self, spared: bytes | None = None) -> bytes | None:
        before = self.policy.size_bytes
        self.policy.patience = PATIENCE_COUNT
        victim = self.policy.victim(spared, self.owns)
        self.grown += self.policy.size_bytes - before
        if victim is None:
            return None
        assert victim[0] == self.shard_of(victim[1])
        self.remove(victim[1])
        return victim[1]

    def all_keys(self) -> list[bytes]:
        return [key for table in self.live.tables for key in table.entries]

    def request(self, key: bytes, capacity: int) -> bool:
        """Read a key and fill it on a miss; return whether it was a hit."""
        if self.has(key):
            self.read(key)
            return True
        if self.live.count >= capacity:
            assert self.evict() is not None
        self.insert(key)
        return False
