"""From a key to its partition and its leaf.

What: one 32-bit hash a key, its namespace included (``namespaces.names``). Its top bits are the partition, the
bits below them the leaf of the partition's repair tree. The number of partitions is a power of two, chosen when the
cluster is born.

Invariant: partition and leaf depend on (qualified key, partition count, leaf count) alone; they are the same in every
process, on every platform and in every release. A key's hash is computed once a request and carried along.

Why fixed partitions (Dynamo, section 6.2, strategy 3): they are the virtual nodes of the ring, but equal in size and
stable, so that ownership, repair, warming and transfer all count the same units and a tree never changes shape.

Numbers of partitions go on beyond the partition count Q: those of keys whose namespace has a replication factor f of
its own are ``f * Q`` more than the hash says, so that each factor has Q partitions of its own, which are owned, filled
and repaired as any others are (``placement.placement``). Which factor that is stands in the key itself
(``namespaces.names``: a zero byte, a length, and so many bytes the last of which is the factor), so that every node
computes the same partition of a key whatever it has heard of namespaces.

Hot code writes ``mmh3_32_uintdigest(key, 0) >> shift`` in line for keys that do not begin with a zero byte; the
functions here are its meaning.
"""

from mmh3 import mmh3_32_uintdigest, mmh3_x64_128_utupledigest

from dynacache.placement.checks import WireValueError, shown

__all__ = [
    "DEFAULT_PARTITION_COUNT",
    "HASH_BITS",
    "MAX_FACTOR",
    "MAX_PARTITION_COUNT",
    "MIN_PARTITION_COUNT",
    "factor_in",
    "fingerprint",
    "key_hash",
    "leaf_of",
    "numbers_limit",
    "partition_of",
    "partition_of_key",
    "partition_shift",
]

HASH_BITS = 32
DEFAULT_PARTITION_COUNT = 1024
MIN_PARTITION_COUNT = 16
MAX_PARTITION_COUNT = 65_536
MAX_FACTOR = 9
"""Copies of a key, at most. No name of a namespace has a byte as small as this, which is how a factor is told."""


def key_hash(key: bytes) -> int:
    """Return the 32-bit unsigned hash of a qualified key."""
    return mmh3_32_uintdigest(key, 0)


def partition_shift(partition_count: int) -> int:
    """Return by how many bits a hash is shifted right to give its partition.

    Raises ``WireValueError`` unless the count is a power of two between 16 and 65,536.
    """
    if (
        type(partition_count) is not int
        or not MIN_PARTITION_COUNT <= partition_count <= MAX_PARTITION_COUNT
        or partition_count & (partition_count - 1)
    ):
        expected = f"a power of two between {MIN_PARTITION_COUNT} and {MAX_PARTITION_COUNT}"
        raise WireValueError(f"partition count: got {shown(partition_count)}, expected {expected}")
    return HASH_BITS + 1 - partition_count.bit_length()


def partition_of(hashed: int, partition_count: int) -> int:
    """Return the partition of a key's hash: its top bits."""
    return hashed >> partition_shift(partition_count)


def partition_of_key(key: bytes, shift: int) -> int:
    """Return the number of the partition of a qualified key, for the shift of the partition count.

    Raises ``IndexError`` for bytes that cannot be a qualified key.
    """
    partition = mmh3_32_uintdigest(key, 0) >> shift
    if key[0]:
        return partition
    factor = key[1 + key[1]]
    return partition + (factor << HASH_BITS - shift) if factor <= MAX_FACTOR else partition


def factor_in(key: bytes) -> int:
    """Return the replication factor that a qualified key names, 0 for the cluster's. Raises as `partition_of_key`."""
    if key[0]:
        return 0
    factor = key[1 + key[1]]
    return factor if factor <= MAX_FACTOR else 0


def numbers_limit(partition_count: int) -> int:
    """Return a number above those of all partitions there can be, of whatever factor."""
    return (MAX_FACTOR + 1) * partition_count


def leaf_of(hashed: int, partition_count: int, leaf_count: int) -> int:
    """Return the leaf within its partition: the bits below the partition's.

    ``leaf_count`` is a power of two of at most 2**32 / partition_count. Halving it merges neighbouring leaves.
    """
    return (hashed & ((1 << partition_shift(partition_count)) - 1)) * leaf_count >> partition_shift(partition_count)


def fingerprint(key: bytes) -> int:
    """Return a 64-bit unsigned hash of ``key``, independent of ``key_hash``: what contexts are bound to."""
    return mmh3_x64_128_utupledigest(key, 0)[0]
