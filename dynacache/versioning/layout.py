"""The layout of a packed record, and its translation to and from the kernel's state.

::

    local  kind  flags  entry_count  dot_index | time  expire_ms  created_ms | entries            | payload
    1 B    1 B   1 B    1 B          1 B       | 8 B   8 B        8 B        | 16 B each, sorted  | the rest

An entry is (incarnation 8 B, base 4 B, n 4 B). Kind VALUE is exactly one live register whose n is also its actor's n in
the context; TOMBSTONE likewise, without payload; the dot is that of entry ``dot_index``. MANY is everything else: its
payload is a msgpack list of ``[entry_index, n, kind, flags, time, expire_ms, created_ms, payload]``, sorted by dot, and
its header carries the newest ``time`` and in ``expire_ms`` the next instant at which something expires.

Invariant: equal states have equal bytes but for byte 0, which is this process's own and always 0 on the wire. Integers
are big-endian and entries sorted, so that packed clocks compare as bytes.

Why one immutable ``bytes``: an entry costs a third of what objects cost, the collector never visits it, and it is
stored, logged and sent as it is (DESIGN section 4).
"""

import struct
from typing import Any

import msgpack

from dynacache.errors import Overloaded
from dynacache.versioning.actors import Actor, Dot
from dynacache.versioning.kernel import COUNTER, REGISTER, State, Version, next_change
from dynacache.versioning.kernel import TOMBSTONE as TOMBSTONE_VERSION

__all__ = [
    "ENTRY",
    "ENTRY_BYTES",
    "ENTRY_LIMIT",
    "HEADER",
    "HEADER_BYTES",
    "MANY",
    "N_LIMIT",
    "OWN_BASE",
    "TOMBSTONE",
    "VALUE",
    "check_entry_count",
    "decode",
    "decode_clock",
    "encode",
    "encode_clock",
]

HEADER = struct.Struct(">BBBBBQQQ")
"""local, kind, flags, entry_count, dot_index, time, expire_ms, created_ms."""

HEADER_BYTES = HEADER.size

ENTRY = struct.Struct(">QII")
"""incarnation, base, n."""

ENTRY_BYTES = ENTRY.size

OWN_BASE = 1
"""Bit of byte 0: this process coordinates the key under a base it has held without a break since it took it."""

VALUE, TOMBSTONE, MANY = REGISTER, TOMBSTONE_VERSION, 3
"""Kinds of a record; the first two have the numbers of their only version's kind."""

ENTRY_LIMIT = 255
"""Actors that one record's clock can hold."""

N_LIMIT = 2**32 - 1
"""The largest n of a dot; beyond it a coordinator takes a new base."""

_unpack = msgpack.unpackb
_pack = msgpack.Packer(autoreset=True, use_bin_type=True).pack


def check_entry_count(count: int) -> None:
    """Raise Overloaded if a clock of ``count`` actors does not fit a record."""
    if count > ENTRY_LIMIT:
        raise Overloaded(f"the key's clock would hold {count} actors, at most {ENTRY_LIMIT} fit; delete and reap it")


def encode_clock(context: dict[Actor, int] | list[tuple[Actor, int]]) -> bytes:
    """Pack a version vector in canonical order."""
    pairs = context.items() if isinstance(context, dict) else context
    return b"".join([ENTRY.pack(actor[0], actor[1], n) for actor, n in sorted(pairs)])


def decode_clock(entries: bytes) -> dict[Actor, int]:
    """Unpack the entries of a clock; their length must be a multiple of ENTRY_BYTES."""
    return {(incarnation, base): n for incarnation, base, n in ENTRY.iter_unpack(entries)}


def encode(state: State, local: int) -> bytes:
    """Pack a state without cloud. Raises Overloaded if its context has more than ENTRY_LIMIT actors."""
    assert not state.cloud, "a record holds whole states, never deltas"
    context = dict(state.context)
    check_entry_count(len(context))
    entries = encode_clock(context)
    if len(state.dots) == 1:
        ((actor, n), version), *_ = state.dots.items()
        if version.kind != COUNTER and context[actor] == n:
            index = sorted(context).index(actor)
            times = (version.time, version.expire_ms, version.created_ms)
            header = HEADER.pack(local, version.kind, version.flags, len(context), index, *times)
            return header + entries + version.payload
    times = (max((v.time for v in state.dots.values()), default=0), next_change(state.dots), 0)
    return HEADER.pack(local, MANY, 0, len(context), 0, *times) + entries + _encode_dots(context, state)


def decode(record: bytes) -> State:
    """Unpack a well-formed record; byte 0 is not part of the state."""
    _, kind, flags, count, index, time, expire_ms, created_ms = HEADER.unpack_from(record)
    end = HEADER_BYTES + ENTRY_BYTES * count
    clock = [((a, b), n) for a, b, n in ENTRY.iter_unpack(record[HEADER_BYTES:end])]
    if kind != MANY:
        version = Version(kind, flags, time, expire_ms, created_ms, record[end:])
        return State(dict(clock), frozenset(), {clock[index]: version})
    dots: dict[Dot, Version] = {}
    listed: list[list[Any]] = _unpack(record[end:], strict_map_key=False)
    for entry_index, n, *fields in listed:
        dots[clock[entry_index][0], n] = Version(*fields)
    return State(dict(clock), frozenset(), dots)


def _encode_dots(context: dict[Actor, int], state: State) -> bytes:
    index = {actor: position for position, actor in enumerate(sorted(context))}
    listed = [
        [index[actor], n, v.kind, v.flags, v.time, v.expire_ms, v.created_ms, v.payload]
        for (actor, n), v in sorted(state.dots.items(), key=lambda item: item[0])
    ]
    packed: bytes = _pack(listed)
    return packed
