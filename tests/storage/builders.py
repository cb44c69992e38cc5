"""Records and engines for the tests of storage, made by the real versioning functions."""

import random
from typing import Any

from dynacache.config.storage import StorageSettings
from dynacache.storage.engine import Engine
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer

__all__ = ["START_MS", "engine_of", "key_of", "tombstone", "value"]

START_MS = 1_700_000_000_000
_DEFAULT_ISSUER = ActorIssuer(1)


def key_of(number: int) -> bytes:
    """Return a new ``bytes`` object each time, as a decoder does."""
    return b"key:%d" % number


def value(
    length: int = 64,
    *,
    old: bytes | None = None,
    now_ms: int = START_MS,
    ttl_ms: int = 0,
    issuer: ActorIssuer = _DEFAULT_ISSUER,
) -> bytes:
    """Return the record that a coordinator keeps after writing ``length`` bytes over ``old``."""
    expire_ms = now_ms + ttl_ms if ttl_ms else 0
    return packed.write(old, issuer, now_ms << 16, expire_ms, packed.RAW, b"v" * length, now_ms)[0]


def tombstone(*, old: bytes | None = None, now_ms: int = START_MS, issuer: ActorIssuer = _DEFAULT_ISSUER) -> bytes:
    """Return the record that a coordinator keeps after a delete."""
    return packed.delete(old, issuer, now_ms << 16, now_ms)[0]


def engine_of(partition_count: int = 4, seed: int = 1, **settings: Any) -> Engine:
    """Return an engine with room for ghosts even under the tiny limits of tests."""
    settings = {"ghost_share": 0.3, **settings}
    return Engine(StorageSettings(**settings), partition_count, random.Random(seed))
