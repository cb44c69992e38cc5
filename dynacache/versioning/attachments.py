"""What a value carries in front of itself: its sliding life and its tags.

What: the payload of a version whose flags have a bit of ``ATTACHED`` begins with ``[ttl in ms, 6 B, if SLIDING][tags,
if TAGGED]``, then comes the value. Tags are ``length of all that follows, 2 B`` and then ``length 1 B, tag`` for each,
sorted, each once. ``value_start`` finds the value without reading the tags.

Invariant: equal sets of tags have equal bytes, so records stay canonical; what ``is_well_formed_attachment`` accepts
every other function here reads.

Why in the payload and not in the header: nearly all values have neither, and a header field would cost each of them
its bytes; a bit in the flags costs a reader one test. Why not msgpack: a value behind it would need the tags parsed
before it is found.
"""

from collections.abc import Iterable

from dynacache.errors import InvalidRequest
from dynacache.versioning.kernel import MAY_BE_OUTLIVED, SLIDING, TAGGED, TOMBSTONE, Version

__all__ = [
    "ATTACHED",
    "SLIDING_BYTES",
    "TAGS_LIMIT",
    "TAG_LIMIT_BYTES",
    "attach_life",
    "has_all_tags",
    "is_well_formed_attachment",
    "join_tags",
    "may_lack_a_tag",
    "pack_tags",
    "sliding_ms_of",
    "tags_of",
    "value_start",
]

ATTACHED = TAGGED | SLIDING
"""Flags of a payload that does not begin with the value."""

SLIDING_BYTES = 6
"""Bytes of a sliding version's own time to live."""

TAGS_LIMIT = 64
"""Tags of one value."""

TAG_LIMIT_BYTES = 128
"""Length of one tag."""

_LENGTH_BYTES = 2


def value_start(flags: int, data: bytes, offset: int) -> int:
    """Return where the value begins in ``data``, whose payload begins at ``offset``."""
    if flags & SLIDING:
        offset += SLIDING_BYTES
    if flags & TAGGED:
        offset += _LENGTH_BYTES + (data[offset] << 8 | data[offset + 1])
    return offset


def sliding_ms_of(flags: int, payload: bytes) -> int:
    """Return the time to live that each read renews, 0 if the life is fixed."""
    return int.from_bytes(payload[:SLIDING_BYTES], "big") if flags & SLIDING else 0


def attach_life(flags: int, payload: bytes, ttl_ms: int) -> tuple[int, bytes]:
    """Return flags and payload, as they are stored, of a value whose flags say SLIDING; without the flag if it lives
    for ever (``ttl_ms`` 0)."""
    if not ttl_ms:
        return flags & ~SLIDING, payload
    return flags, ttl_ms.to_bytes(SLIDING_BYTES, "big") + payload


def tags_of(flags: int, data: bytes, offset: int = 0) -> tuple[bytes, ...]:
    """Return the tags of a payload that begins at ``offset`` of ``data``; empty for one without."""
    if not flags & TAGGED:
        return ()
    if flags & SLIDING:
        offset += SLIDING_BYTES
    end = value_start(TAGGED, data, offset)
    offset += _LENGTH_BYTES
    tags = []
    while offset < end:
        start = offset + 1
        offset = start + data[offset]
        tags.append(data[start:offset])
    return tuple(tags)


def pack_tags(tags: object) -> bytes:
    """Return the block of one or more tags, as it stands before a value.

    Raises InvalidRequest unless it is a list or tuple of 1 to TAGS_LIMIT tags, each 1 to TAG_LIMIT_BYTES bytes.
    """
    if not isinstance(tags, list | tuple) or not 0 < len(tags) <= TAGS_LIMIT:
        shown = f"{len(tags)} of them" if isinstance(tags, list | tuple) else repr(tags)[:80]
        raise InvalidRequest(f"tags: got {shown}, expected a list of 1 to {TAGS_LIMIT}")
    for tag in tags:
        if type(tag) is not bytes or not 0 < len(tag) <= TAG_LIMIT_BYTES:
            raise InvalidRequest(f"tag: got {repr(tag)[:80]}, expected 1 to {TAG_LIMIT_BYTES} bytes")
    return join_tags(tags)


def join_tags(tags: Iterable[bytes]) -> bytes:
    """Return the block of tags that were checked before; each is kept once."""
    packed = b"".join([bytes((len(tag),)) + tag for tag in sorted(set(tags))])
    return len(packed).to_bytes(_LENGTH_BYTES, "big") + packed


def has_all_tags(flags: int, payload: bytes, other_flags: int, other: bytes, other_offset: int = 0) -> bool:
    """Return whether a version (``other``) has every tag that a payload has: whatever ends this by a tag ends that."""
    if not flags & TAGGED:
        return True
    if not other_flags & TAGGED:
        return False
    if not (flags | other_flags) & SLIDING:
        end = value_start(TAGGED, payload, 0)
        if payload[:end] == other[other_offset : other_offset + end]:
            return True
    return set(tags_of(flags, payload)) <= set(tags_of(other_flags, other, other_offset))


def may_lack_a_tag(flags: int, payload: bytes, versions: Iterable[Version]) -> bool:
    """Return whether one of these versions, or one that they superseded, may lack a tag that a payload has."""
    return any(
        v.kind == TOMBSTONE or v.flags & MAY_BE_OUTLIVED or not has_all_tags(flags, payload, v.flags, v.payload)
        for v in versions
    )


def is_well_formed_attachment(flags: int, data: bytes, offset: int = 0) -> bool:
    """Return whether a payload has what its flags say, in canonical form; never raises."""
    if flags & SLIDING:
        if len(data) < offset + SLIDING_BYTES or not any(data[offset : offset + SLIDING_BYTES]):
            return False
        offset += SLIDING_BYTES
    if not flags & TAGGED:
        return True
    if len(data) < offset + _LENGTH_BYTES:
        return False
    end = value_start(TAGGED, data, offset)
    offset += _LENGTH_BYTES
    last, count = b"", 0
    if end > len(data):
        return False
    while offset < end:
        start = offset + 1
        offset = start + data[offset]
        tag = data[start:offset]
        if tag <= last or len(tag) > TAG_LIMIT_BYTES:
            return False
        last, count = tag, count + 1
    return offset == end and 0 < count <= TAGS_LIMIT
