"""Why keys went lately: what lets a miss say *expired* after everything else of the entry is gone.

What: a fixed array of 32-bit numbers, one slot a key by one hash of it; a key that goes without a trace puts 29 bits of
another hash and the reason there, over whatever stood in the slot.

Invariant: whoever is found did go here for that reason (but for one chance in 2**29 a look-up); one that is not found
may have, and others have taken its slot since. The memory is constant.

Why: a plain value that no older version can outlive leaves no tombstone, and most of what a cache holds is that. A
ghost would tell, but ghosts stand in the repair trees and cost 29 bytes and a search; this costs 4 bytes and one store.
The second hash is the one that the store has of a key anyway. Each slot is worth more the more lately it was written,
so the newest wins. A 1024th of the limit pays for it.
"""

from array import array
from collections.abc import Iterable
from itertools import repeat

import attrs
import mmh3

from dynacache.storage.contributions import key_hash
from dynacache.types import MissReason

__all__ = ["GoneKeys", "slots_of"]

_slot_hash = mmh3.mmh3_32_uintdigest
_SLOT_SEED = 0x5EED
_BYTES_A_SLOT = 4_096
_LEAST_SLOTS = 1 << 6
_MOST_SLOTS = 1 << 20
_REASON = 7
_REASONS = {int(reason): reason for reason in MissReason}
_NEVER_WRITTEN = MissReason.NEVER_WRITTEN


def slots_of(limit_bytes: int) -> int:
    """Return the number of slots kept under a limit: a power of two, 4 bytes each."""
    wanted = max(_LEAST_SLOTS, min(_MOST_SLOTS, limit_bytes // _BYTES_A_SLOT))
    return 1 << (wanted.bit_length() - 1)


@attrs.define(eq=False)
class GoneKeys:
    """The memory."""

    slots: int
    _prints: "array[int]" = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        assert self.slots & (self.slots - 1) == 0, "slots are addressed by mask"
        assert max(MissReason) <= _REASON, "a reason has three bits"
        self._prints = array("I", bytes(4 * self.slots))

    def add(self, key: bytes, reason: MissReason) -> None:
        """Remember why a key is not there any more."""
        self._prints[_slot_hash(key, _SLOT_SEED) & self.slots - 1] = key_hash(key) & ~_REASON | reason

    def add_many(self, keys: Iterable[bytes], hashes: Iterable[int], reason: MissReason) -> None:
        """Remember why some keys are not there any more, given their ``key_hash`` as well."""
        prints, mask, number = self._prints, self.slots - 1, int(reason)
        for slot, hashed in zip(map(_slot_hash, keys, repeat(_SLOT_SEED)), hashes, strict=True):
            prints[slot & mask] = hashed & ~_REASON | number

    def reason(self, key: bytes) -> MissReason:
        """Return why a key went, ``NEVER_WRITTEN`` if nothing is known of it."""
        found = self._prints[_slot_hash(key, _SLOT_SEED) & self.slots - 1]
        return _REASONS[found & _REASON] if not (found ^ key_hash(key)) & ~_REASON else _NEVER_WRITTEN

    @property
    def size_bytes(self) -> int:
        """The memory it occupies; constant."""
        return 4 * self.slots
