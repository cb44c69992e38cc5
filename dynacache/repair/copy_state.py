"""What a node says of its copies: which partitions are warming, which are stale.

What: the field ``state`` of the messages between repair cores, a list of two roaring bitmaps as bytes, empty bytes for
none; packed here and checked here.

Invariant: what is unpacked names only partitions that exist; anything else is a ``ValueError``.

Why in every exchange: a copy that is not complete is no witness of what is missing elsewhere, and the two sides must
leave out the same partitions, or they would compare different things (brief R2.6; DESIGN section 8).
"""

from pyroaring import BitMap

__all__ = ["STATE_LIMIT_BYTES", "pack_partitions", "pack_state", "unpack_partitions", "unpack_state"]

STATE_LIMIT_BYTES = 16_384
"""Longest bitmap that is read: 65,536 partitions take 8 KiB at worst."""


def pack_partitions(partitions: BitMap) -> bytes:
    """Return a set of partitions as bytes, none of them for the empty set."""
    return bytes(partitions.serialize()) if partitions else b""


def unpack_partitions(packed: object, partition_count: int) -> BitMap:
    """Return a set of partitions from a message. Raises ValueError for anything that ``pack_partitions`` never made."""
    if type(packed) is not bytes or len(packed) > STATE_LIMIT_BYTES:
        raise ValueError(f"partitions: got {packed!r:.80}, expected at most {STATE_LIMIT_BYTES} bytes")
    if not packed:
        return BitMap()
    partitions = BitMap.deserialize(packed)
    if partitions and partitions.max() >= partition_count:
        raise ValueError(f"partitions: got {partitions.max()}, expected numbers below {partition_count}")
    return partitions


def pack_state(warming: BitMap, stale: BitMap) -> list[bytes]:
    """Return the field ``state``."""
    return [pack_partitions(warming), pack_partitions(stale)]


def unpack_state(state: object, partition_count: int) -> tuple[BitMap, BitMap]:
    """Return (warming, stale) from the field ``state``; raises ValueError if it is malformed."""
    if not isinstance(state, list | tuple) or len(state) != 2:
        raise ValueError(f"state: got {state!r:.80}, expected two bitmaps")
    return unpack_partitions(state[0], partition_count), unpack_partitions(state[1], partition_count)
