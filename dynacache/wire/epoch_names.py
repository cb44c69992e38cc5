"""Names of invalidation epochs, as they stand in the catalogue and on the wire.

What: an epoch concerns a namespace as a whole, one tag in it, the keys that match a pattern, or all tagged values of a
namespace (what single tags are folded into when there are too many). Its name is ``E``, the kind, the length of the
namespace's name, that name, and the tag or pattern.

Invariant: names of different things differ, and ``parse_epoch_name`` gives back what ``epoch_name`` was made of.

Why names and not messages: an epoch is one entry of the replicated catalogue, whose merge (the larger stamp wins) is
exactly the merge of epochs, so that spreading them needs nothing of its own. Brief R14.1.
"""

from typing import Final

from dynacache.versioning.attachments import TAG_LIMIT_BYTES
from dynacache.wire.patterns import PATTERN_LIMIT_BYTES

__all__ = ["ALL_TAGS", "EPOCH_PREFIX", "FLUSH", "PATTERN", "TAG", "epoch_name", "parse_epoch_name"]

EPOCH_PREFIX: Final = b"E"
"""First byte of every name here; other entries of the catalogue have another."""

FLUSH, TAG, PATTERN, ALL_TAGS = b"ftpa"
"""Kinds: a whole namespace, a tag, a pattern of keys, all that has a tag."""

_LIMITS: Final = {FLUSH: 0, ALL_TAGS: 0, TAG: TAG_LIMIT_BYTES, PATTERN: PATTERN_LIMIT_BYTES}


def epoch_name(kind: int, namespace: bytes, argument: bytes = b"") -> bytes:
    """Return the name of an epoch; ``argument`` is the tag or the pattern."""
    return b"%c%c%c%s%s" % (EPOCH_PREFIX, kind, len(namespace), namespace, argument)


def parse_epoch_name(name: bytes) -> tuple[int, bytes, bytes]:
    """Return (kind, namespace, argument); raises ValueError for anything that ``epoch_name`` never makes."""
    if len(name) < 3 or name[:1] != EPOCH_PREFIX or name[1] not in _LIMITS or len(name) < 3 + name[2]:
        raise ValueError(f"epoch name: got {name!r:.80}")
    end = 3 + name[2]
    kind, argument = name[1], name[end:]
    if len(argument) > _LIMITS[kind] or bool(argument) != bool(_LIMITS[kind]):
        raise ValueError(f"epoch name: got {name!r:.80}, with {len(argument)} bytes of tag or pattern")
    return kind, name[3:end], argument
