"""Operations on packed records: the hot path of every write, merge and comparison.

What: each function takes the bytes of ``layout`` and returns bytes; the old record is never changed. The cases that
make up nearly all traffic (no old record; one live version; a clock that dominates the other) are decided on the bytes;
the rest goes through the kernel.

Invariants: every result equals what the kernel says of the decoded states, in canonical form, whatever path was taken.
Byte 0 never leaves the process: ``write`` and ``delete`` return one record for this store and one for the wire. A
writer goes on under its own base only while byte 0 says that it held the key without a break since it took that base.

Why two paths: decoding to a state costs some ten times what comparing bytes costs, and a cluster does one write and two
merges for each acknowledged SET. The tests drive both over the same traces.
"""

import hashlib
import struct

import mmh3

from dynacache.versioning import kernel
from dynacache.versioning.actors import Actor, ActorIssuer, Dot
from dynacache.versioning.attachments import has_all_tags, may_lack_a_tag
from dynacache.versioning.context import Context
from dynacache.versioning.dominance import dominating
from dynacache.versioning.kernel import (
    BLIND,
    COMPRESSED,
    EMPTY,
    EXPIRED,
    FILL,
    MAY_BE_OUTLIVED,
    PRUNE_ABOVE_ACTORS,
    RAW,
    SLIDING,
    TAGGED,
    State,
    Version,
)
from dynacache.versioning.layout import (
    ENTRY,
    ENTRY_BYTES,
    HEADER,
    HEADER_BYTES,
    MANY,
    N_LIMIT,
    OWN_BASE,
    TOMBSTONE,
    VALUE,
    check_entry_count,
    decode,
    encode,
)
from dynacache.versioning.validation import is_well_formed

__all__ = [
    "BLIND",
    "COMPRESSED",
    "EXPIRED",
    "FILL",
    "HEADER",
    "HEADER_BYTES",
    "MANY",
    "MAY_BE_OUTLIVED",
    "OWN_BASE",
    "RAW",
    "SLIDING",
    "TAGGED",
    "TOMBSTONE",
    "VALUE",
    "clean",
    "delete",
    "is_well_formed",
    "live_dot",
    "matches_prefix",
    "merge",
    "mint",
    "since",
    "split",
    "strip_local",
    "touch",
    "version_digest",
    "version_prefix",
    "write",
]

# local, kind, flags, entry_count, (index and time), expire_ms, created_ms, and the first entry
_read_first = struct.Struct(">BBBB9xQQQII").unpack_from
# kind, flags, entry_count, index, time, expire_ms, created_ms, and the only entry: all but byte 0
_pack_single = struct.Struct(">BBBBQQQQII").pack
_read_only_entry = struct.Struct(">xBxB25x12sI").unpack_from
_EXPIRY = struct.Struct(">Q")
_EXPIRY_AT = 13
_EXPIRY_END = 21
_N = struct.Struct(">I")
_N_AT = 12
_OWN = b"\x01"
_WIRE = b"\x00"
_HASH_BYTES = 16
_MANY_PREFIX = b"M"


def write(
    old: bytes | None,
    issuer: ActorIssuer,
    time: int,
    expire_ms: int,
    flags: int,
    payload: bytes,
    now_ms: int,
    context: Context | None = None,
    history_unknown: bool = False,
) -> tuple[bytes, bytes]:
    """Write a value over ``old`` and return (record to keep, record to send).

    Without context it supersedes all that ``old`` holds, with one exactly what that covers. ``flags`` are those of the
    value (RAW, FILL, TAGGED, SLIDING, COMPRESSED); ``history_unknown`` says that ``old`` may not be all there is.
    A version that may end before one that it supersedes, be it by its expiry or by a tag that the other lacks, is
    MAY_BE_OUTLIVED. Raises TooManySiblings or Overloaded; then nothing was minted that anyone has seen.
    """
    if old is None:
        if context is not None:
            return _write_state(VALUE, old, issuer, time, expire_ms, flags, payload, now_ms, context, history_unknown)
        if history_unknown and (expire_ms or flags & TAGGED):
            flags |= MAY_BE_OUTLIVED
        rest = (
            _pack_single(1, flags, 1, 0, time, expire_ms, now_ms, issuer.incarnation, issuer.next_base(), 1) + payload
        )
        return _OWN + rest, _WIRE + rest
    if context is not None and context.packed != old[HEADER_BYTES : HEADER_BYTES + ENTRY_BYTES * old[3]]:
        return _write_state(VALUE, old, issuer, time, expire_ms, flags, payload, now_ms, context, history_unknown)
    local, kind, held_flags, count, held_expire, created, incarnation, base, n = _read_first(old)
    if kind == 1 and count == 1 and local & 1 and incarnation == issuer.incarnation and n < N_LIMIT:
        if expire_ms and (history_unknown or held_flags & 2 or held_expire == 0 or held_expire > expire_ms):
            flags |= MAY_BE_OUTLIVED
        if flags & TAGGED and _may_lack_a_tag(flags, payload, history_unknown, held_flags, old, 1):
            flags |= MAY_BE_OUTLIVED
        if 0 < held_expire <= now_ms:
            created = now_ms
        rest = _pack_single(1, flags, 1, 0, time, expire_ms, created, incarnation, base, n + 1) + payload
        return _OWN + rest, _WIRE + rest
    return _supersede(VALUE, old, issuer, time, expire_ms, flags, payload, now_ms, history_unknown)


def delete(
    old: bytes | None, issuer: ActorIssuer, time: int, now_ms: int, context: Context | None = None, blind: bool = False
) -> tuple[bytes, bytes]:
    """Write a tombstone over ``old`` and return (record to keep, record to send).

    ``blind`` says that the coordinator could not learn the key's clock: the tombstone then competes by time. Raises
    TooManySiblings or Overloaded; then nothing changed.
    """
    flags = BLIND if blind else 0
    if old is None and context is None:
        rest = _pack_single(TOMBSTONE, flags, 1, 0, time, 0, now_ms, issuer.incarnation, issuer.next_base(), 1)
        return _OWN + rest, _WIRE + rest
    if old is None or (
        context is not None and context.packed != old[HEADER_BYTES : HEADER_BYTES + ENTRY_BYTES * old[3]]
    ):
        return _write_state(TOMBSTONE, old, issuer, time, 0, flags, b"", now_ms, context, False)
    return _supersede(TOMBSTONE, old, issuer, time, 0, flags, b"", now_ms, False)


def merge(old: bytes, incoming: bytes) -> bytes:
    """Join two records; ``old`` itself if ``incoming`` adds nothing. Keeps byte 0 of ``old``.

    Raises Overloaded if the joined clock has more actors than a record can hold.
    """
    kind, count, actor, n = _read_only_entry(old)
    incoming_kind, incoming_count, incoming_actor, incoming_n = _read_only_entry(incoming)
    if kind != MANY and incoming_kind != MANY:
        if count == 1 and incoming_count == 1 and actor == incoming_actor:
            if n > incoming_n:
                return old
            if n < incoming_n:
                return incoming if old[0] == incoming[0] else old[:1] + incoming[1:]
            if old[1:] == incoming[1:]:
                return old
        elif (including := dominating(old, incoming)) is not None:
            return including if including is old or old[0] == incoming[0] else old[:1] + incoming[1:]
    if old[1:] == incoming[1:]:
        return old
    merged = encode(kernel.merge(decode(old), decode(incoming)), old[0])
    return old if merged == old else merged


def touch(old: bytes, expire_ms: int, dot: Dot | None = None) -> bytes:
    """Raise the expiry of what a reader sees to ``expire_ms`` (0 never); ``old`` itself if that changes nothing.

    With ``dot`` nothing happens unless it is part of what a reader sees. The caller has cleaned an expired record.
    """
    kind = old[1]
    if kind == TOMBSTONE:
        return old
    if kind == MANY:
        state = decode(old)
        touched = kernel.apply_touch(state, expire_ms, dot)
        return old if touched is state else encode(touched, old[0])
    held: int = _EXPIRY.unpack_from(old, _EXPIRY_AT)[0]
    if kernel.longest(held, expire_ms) == held or (dot is not None and live_dot(old) != dot):
        return old
    return old[:_EXPIRY_AT] + _EXPIRY.pack(expire_ms) + old[_EXPIRY_END:]


def clean(record: bytes, now_ms: int) -> bytes | None:
    """Return what remains at ``now_ms`` on the hybrid clock: the record itself, a record in which expired versions have
    become tombstones, or None if it may be forgotten without one. Deletes stay until they are reaped."""
    expire_ms: int = _EXPIRY.unpack_from(record, _EXPIRY_AT)[0]
    if expire_ms == 0 or now_ms < expire_ms:
        return record
    if record[1] == VALUE and not record[2] & MAY_BE_OUTLIVED:
        return None
    state = kernel.expire(decode(record), now_ms)
    return None if kernel.is_spent(state) else encode(state, record[0])


def since(record: bytes, time: int, *, with_context: bool = False) -> bytes | None:
    """Return what of a record is not older than ``time``, with a context of exactly that; None if that is nothing.

    What is left out is left out with its context, so that it is removed nowhere else. ``with_context`` keeps all other
    context, and with it what is known of versions that had been superseded before. A record in which that cannot be
    done (one actor minted on both sides of ``time``) is returned whole. What is left is no unbroken residence: our own
    actor, forgotten here, may come back by a merge, and going on from there would mint a dot twice.
    """
    if record[1] != MANY:
        held: int = HEADER.unpack_from(record)[5]
        return None if held < time else record
    state = decode(record)
    dots = {dot: version for dot, version in state.dots.items() if version.time >= time}
    if not dots:
        return None
    left_out = [dot for dot in state.dots if dot not in dots]
    context: dict[Actor, int] = {}
    if with_context:
        context.update(state.context)
        for actor, n in left_out:
            context[actor] = min(n - 1, context[actor])
    else:
        for actor, n in dots:
            context[actor] = max(n, context.get(actor, 0))
    if not left_out or any(n <= context.get(actor, 0) for actor, n in left_out):
        return record
    if any(n > context[actor] for actor, n in dots):
        return record
    return encode(State({actor: n for actor, n in context.items() if n}, frozenset(), dots), record[0] & ~OWN_BASE)


def version_prefix(record: bytes) -> bytes:
    """Return the bytes that tell this version set from every other of the same key, without its payload."""
    if record[1] != MANY:
        return record[1 : HEADER_BYTES + ENTRY_BYTES * record[3]]
    return _MANY_PREFIX + hashlib.blake2b(record[1:], digest_size=_HASH_BYTES).digest()


def matches_prefix(record: bytes, prefix: bytes) -> bool:
    """Return whether the record is of the version set that ``prefix`` was taken from."""
    return version_prefix(record) == prefix


def version_digest(record: bytes) -> int:
    """Return a 64-bit digest of the version set; not proof against an adversary."""
    digest: int = mmh3.hash64(version_prefix(record), signed=False)[0]
    return digest


def strip_local(record: bytes) -> bytes:
    """Return the record as it may leave the process, or enter it from disk: byte 0 clear."""
    return record if record[0] == 0 else _WIRE + record[1:]


def live_dot(record: bytes) -> Dot:
    """Return the dot of a VALUE's or TOMBSTONE's only version."""
    incarnation, base, n = ENTRY.unpack_from(record, HEADER_BYTES + ENTRY_BYTES * record[4])
    return (incarnation, base), n


def mint(old: bytes | None, state: State, context: dict[Actor, int] | None, issuer: ActorIssuer) -> Dot:
    """Return a dot never minted before: the next one of our own base where ``old`` says that we still hold it, else the
    first of a fresh base. ``state`` is ``old`` decoded."""
    if old is not None and old[0] & OWN_BASE:
        incarnation = issuer.incarnation
        own = max((actor for actor in state.context if actor[0] == incarnation), default=None)
        if own is not None:
            n = state.context[own]
            # A context that knows more of our base than we do is no proof that we held on to it.
            if n < N_LIMIT and (context is None or context.get(own, 0) <= n):
                return own, n + 1
    while True:
        actor = (issuer.incarnation, issuer.next_base())
        if actor not in state.context and (context is None or actor not in context):
            return actor, 1


def split(state: State) -> tuple[bytes, bytes]:
    """Pack a state that this process coordinated: (record to keep, record to send)."""
    local = encode(state, OWN_BASE)
    return local, _WIRE + local[1:]


def _may_lack_a_tag(flags: int, payload: bytes, unknown: bool, held_flags: int, old: bytes, count: int) -> bool:
    """Tell whether the one value in ``old``, or one that it superseded, may lack a tag that a new value has."""
    return (
        unknown
        or held_flags & MAY_BE_OUTLIVED != 0
        or not has_all_tags(flags, payload, held_flags, old, HEADER_BYTES + ENTRY_BYTES * count)
    )


def _supersede(
    kind: int,
    old: bytes,
    issuer: ActorIssuer,
    time: int,
    expire_ms: int,
    flags: int,
    payload: bytes,
    now_ms: int,
    history_unknown: bool,
) -> tuple[bytes, bytes]:
    """Replace everything in ``old``: only its clock and the life of what it held matter."""
    local, held_kind, held_flags, count, _, _, held_expire, created = HEADER.unpack_from(old)
    if held_kind == MANY or count >= PRUNE_ABOVE_ACTORS:
        return _write_state(kind, old, issuer, time, expire_ms, flags, payload, now_ms, None, history_unknown)
    outlived = history_unknown or held_kind == TOMBSTONE or held_flags & MAY_BE_OUTLIVED
    if expire_ms and (outlived or held_expire == 0 or held_expire > expire_ms):
        flags |= MAY_BE_OUTLIVED
    if flags & TAGGED and _may_lack_a_tag(flags, payload, bool(outlived), held_flags, old, count):
        flags |= MAY_BE_OUTLIVED
    if kind == TOMBSTONE or held_kind == TOMBSTONE or 0 < held_expire <= now_ms:
        created = now_ms
    entries, index = _advance(old[HEADER_BYTES : HEADER_BYTES + ENTRY_BYTES * count], local & OWN_BASE, issuer)
    count = len(entries) // ENTRY_BYTES
    rest = HEADER.pack(0, kind, flags, count, index, time, expire_ms, created)[1:] + entries + payload
    return _OWN + rest, _WIRE + rest


def _advance(entries: bytes, own: int, issuer: ActorIssuer) -> tuple[bytes, int]:
    """Mint the next dot into a packed clock: (clock, index of the dot's entry). As ``mint``, on bytes."""
    if own:
        # Bases of one process rise, so the last of our entries is the one we hold; earlier ones came back by merge.
        for position in range(len(entries) - ENTRY_BYTES, -1, -ENTRY_BYTES):
            if entries.startswith(issuer.incarnation_bytes, position):
                n = _N.unpack_from(entries, position + _N_AT)[0]
                if n == N_LIMIT:
                    break
                advanced = entries[: position + _N_AT] + _N.pack(n + 1) + entries[position + ENTRY_BYTES :]
                return advanced, position // ENTRY_BYTES
    position = 0
    entry = ENTRY.pack(issuer.incarnation, issuer.next_base(), 1)
    while position < len(entries) and (held := entries[position : position + _N_AT]) <= entry[:_N_AT]:
        if held == entry[:_N_AT]:
            entry = ENTRY.pack(issuer.incarnation, issuer.next_base(), 1)
        else:
            position += ENTRY_BYTES
    return entries[:position] + entry + entries[position:], position // ENTRY_BYTES


def _write_state(
    kind: int,
    old: bytes | None,
    issuer: ActorIssuer,
    time: int,
    expire_ms: int,
    flags: int,
    payload: bytes,
    now_ms: int,
    context: Context | None,
    history_unknown: bool,
) -> tuple[bytes, bytes]:
    """The general case of ``write`` and ``delete``, by the kernel."""
    state = EMPTY if old is None else decode(old)
    clock = None if context is None else context.clock
    unseen = clock is not None and any(state.context.get(actor, 0) < n for actor, n in clock.items())
    if expire_ms and (history_unknown or unseen or kernel.outlives(state.dots, expire_ms)):
        flags |= MAY_BE_OUTLIVED
    if flags & TAGGED and (history_unknown or unseen or may_lack_a_tag(flags, payload, state.dots.values())):
        flags |= MAY_BE_OUTLIVED
    created_ms = now_ms
    if kind == VALUE:
        winner = kernel.resolve(state.dots, now_ms).winner
        created_ms = now_ms if winner is None else state.dots[winner].created_ms
    dot = mint(old, state, clock, issuer)
    version = Version(kind, flags, time, expire_ms, created_ms, payload)
    written = kernel.write(state, dot, version, clock)
    has_counters = any(v.kind == kernel.COUNTER for v in state.dots.values())
    if len(written.context) > PRUNE_ABOVE_ACTORS and not unseen and not has_counters:
        newest_ms = max((v.time >> 16 for v in state.dots.values()), default=now_ms)
        pruned = kernel.prune_context(written.context, written.dots, newest_ms, now_ms)
        written = State(pruned, written.cloud, written.dots)
    check_entry_count(len(written.context))
    return split(written)
