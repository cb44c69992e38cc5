"""Leaves of the repair trees that are behind: what was overwritten is hashed when someone compares.

What: the steps that leave the leaf of a replaced record as it is, and bring it up to date later or when the record
goes, over the state of ``shape``.

Invariants: the leaf of a key in ``_pending`` still counts an older version of it; ``_settle_trees`` comes before any
comparison. At most ``_pending_limit`` keys wait, and each is counted with ``PENDING_BYTES``.

Why leaves may wait: to hash two versions and move a leaf costs as much as the write itself, and what is written often
is written again before anyone compares.
"""

from itertools import islice

import attrs

from dynacache.storage.contributions import (
    CONTRIBUTION_MASK,
    PLAIN_HEADS,
    PLAIN_PREFIX,
    PREFIX_BITS,
    PREFIX_MASK,
    contribution,
    digest,
    key_hash,
)
from dynacache.storage.shape import PENDING_BYTES, PENDING_LIMIT_COUNT, Shape

__all__ = ["Leaves"]


@attrs.define(eq=False)
class Leaves(Shape):
    """The steps. ``_defer`` takes the place of an update of the tree, the others make up for it."""

    def _defer(self, shard: int, key: bytes, old: bytes, record: bytes) -> None:
        """Leave the leaf of a replaced record as it is until someone compares, so that a key that is written often is
        hashed once; at once for what is not plain, and when enough keys wait already."""
        head = old[1:4]
        is_plain = head in PLAIN_HEADS
        if is_plain and len(self._pending) < self._pending_limit:
            self._pending[key] = shard, old[PLAIN_PREFIX]
            self._used_bytes += PENDING_BYTES
            return
        hashed, trees = key_hash(key), self._trees
        seed = hashed ^ self.hash_seed
        if is_plain and record[1:4] == head:
            difference = (digest(old[PLAIN_PREFIX], seed) ^ digest(record[PLAIN_PREFIX], seed)) & CONTRIBUTION_MASK
        else:
            difference = contribution(old, seed) ^ contribution(record, seed)
        if difference:
            prefix = hashed >> trees.prefix_shift & PREFIX_MASK
            trees.leaves[shard][prefix >> trees.drops[shard]] ^= difference
            trees.journal.append(shard << PREFIX_BITS | prefix)

    def _settle_trees(self, count: int = PENDING_LIMIT_COUNT) -> bool:
        """Bring up to ``count`` leaves up to date; True when none is left behind."""
        self._settle_keys(list(islice(self._pending, count)))
        return not self._pending

    def _settle_shard(self, shard: int) -> None:
        """Bring the leaves of one shard up to date: what waits in all of them may be the work of ten milliseconds."""
        self._settle_keys([key for key, (held, _) in self._pending.items() if held == shard])

    def _settle_keys(self, keys: list[bytes]) -> None:
        pending, tables, trees = self._pending, self._tables, self._trees
        for key in keys:
            shard, prefix = pending.pop(key)
            self._used_bytes -= PENDING_BYTES
            hashed = key_hash(key)
            seed = hashed ^ self.hash_seed
            difference = digest(prefix, seed) & CONTRIBUTION_MASK ^ contribution(tables[shard].entries[key], seed)
            if difference:
                trees.toggle(shard, trees.prefix(hashed), difference)

    def _settle_leaf(self, shard: int, key: bytes, record: bytes) -> None:
        """Bring the leaf of one record up to date before the record goes."""
        pending = self._pending.get(key)
        if pending is not None:
            del self._pending[key]
            self._used_bytes -= PENDING_BYTES
            seed = key_hash(key) ^ self.hash_seed
            self._toggle(shard, key, digest(pending[1], seed) & CONTRIBUTION_MASK ^ contribution(record, seed))
