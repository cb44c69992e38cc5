"""What an entry adds to the repair trees, and by what number a key is remembered when it is gone.

What: ``contribution`` hashes the version set that a record holds to 64 bits; ``fingerprint`` hashes a key to 64 bits of
which the top ``PREFIX_BITS`` are its place in the tree of its partition.

Invariants: equal version sets of a key have equal contributions on every node of a cluster; different ones differ but
by accident (2**-62). A value that leaves a tombstone when it expires contributes what that tombstone contributes, so
that its expiry changes no tree. Bit 0 is never set: in a ghost it says ``DELETED``. Bit 1 says that the entry leaves,
or is, the tombstone of an expiry (``LEAVES_TOMBSTONE``), which is all that a ghost must know of it.

Why the key's hash as the seed: it spares joining key and version, a third of the cost; a version's dots are those of
one key anyway (brief R1.2). Murmur3 is not proof against an adversary who may write; ``hash_seed`` is secret only to
those who cannot read. Brief R8.1.
"""

from collections.abc import Callable

import mmh3

from dynacache.versioning import packed

__all__ = [
    "CONTRIBUTION_MASK",
    "DELETED",
    "LEAVES_TOMBSTONE",
    "PLAIN_HEADS",
    "PLAIN_PREFIX",
    "PREFIX_BITS",
    "PREFIX_MASK",
    "contribution",
    "digest",
    "fingerprint",
    "key_hash",
]

PREFIX_BITS = 14
"""Bits of a key's hash, below those of its partition, by which leaves are told apart."""

PREFIX_MASK = (1 << PREFIX_BITS) - 1

DELETED = 1
"""Bit of a ghost: it stands for a tombstone, or for a value that has expired."""

LEAVES_TOMBSTONE = 2
"""Bit of a contribution: the entry is an expiring value that leaves a tombstone, or such a tombstone."""

CONTRIBUTION_MASK = 2**64 - 4

PLAIN_PREFIX = slice(1, packed.HEADER_BYTES + 16)
"""The version prefix of a record whose clock has one actor."""

PLAIN_HEADS = frozenset(bytes((packed.VALUE, flags, 1)) for flags in range(256) if not flags & packed.MAY_BE_OUTLIVED)
"""Bytes 1 to 3 of the records whose contribution is ``digest(record[PLAIN_PREFIX], seed) & CONTRIBUTION_MASK``."""

key_hash: Callable[[bytes], int] = mmh3.mmh3_32_uintdigest

digest: Callable[[bytes, int], int] = mmh3.mmh3_x64_128_uintdigest
_VALUE, _TOMBSTONE, _MANY = packed.VALUE, packed.TOMBSTONE, packed.MANY
_HEADER_BYTES = packed.HEADER_BYTES
_NEVER = bytes(8)
_REST_BITS = 64 - PREFIX_BITS
_REST_MASK = (1 << _REST_BITS) - 1
_REMAINS = bytes((_TOMBSTONE, packed.MAY_BE_OUTLIVED | packed.EXPIRED | packed.BLIND))
"""Kind and flags of the tombstone that a value leaves."""


def contribution(record: bytes, seed: int) -> int:
    """Return what a record adds to its leaf; ``seed`` is the key's hash, XORed with the cluster's seed."""
    kind = record[1]
    if kind == _VALUE:
        flags = record[2]
        if flags & packed.MAY_BE_OUTLIVED and (flags & packed.TAGGED or record[13:21] != _NEVER):
            remains = b"".join(
                (_REMAINS, record[3:13], _NEVER, record[13:21], record[_HEADER_BYTES : _HEADER_BYTES + 16 * record[3]])
            )
            return digest(remains, seed) & CONTRIBUTION_MASK | LEAVES_TOMBSTONE
        return digest(record[1 : _HEADER_BYTES + 16 * record[3]], seed) & CONTRIBUTION_MASK
    mark = LEAVES_TOMBSTONE if kind == _TOMBSTONE and record[2] & packed.EXPIRED else 0
    return digest(packed.version_prefix(record), seed) & CONTRIBUTION_MASK | mark


def fingerprint(key: bytes, prefix: int) -> int:
    """Return the number by which an absent key is remembered; ``prefix`` is its place in the tree."""
    return prefix << _REST_BITS | digest(key, 0) & _REST_MASK
