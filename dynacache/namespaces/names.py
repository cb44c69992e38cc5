"""Qualified keys: the namespace as a part of the key.

What: a key of the default namespace is its own bytes, except that one which begins with byte 0 becomes ``00 00 key``.
A key of the namespace ``name`` is ``00 len(name) name key``. Clients qualify; nodes look at the first byte.

Invariant: `qualify` is injective, and `split` is its inverse on exactly its image: whatever else begins with byte 0 is
refused as malformed. All keys of a namespace, and no others, begin with its `prefix`; the default one's are those that
do not begin with 0, or with ``00 00``.

Inside the cluster a key of a namespace with a replication factor of its own carries that factor: ``00 len(name)+1 name
factor key``, so that the partition of a key follows from its bytes (``placement.partitions``), whatever a node has
heard of namespaces yet. The node that a client asks puts it in (`with_factor`); what clients are shown is without it
(`without_factor`). No name has a byte as small as a factor, so the two forms cannot be mistaken for each other.

Why names of so few characters: they stand in configuration, metrics, file names and command lines, where case, spaces
and look-alikes cost more than they give. The first character is a letter or a digit so that none looks like an option.
"""

from typing import Final

from dynacache.errors import InvalidRequest

__all__ = [
    "DEFAULT",
    "FACTOR_LIMIT",
    "NAME_LIMIT",
    "OVERHEAD_LIMIT_BYTES",
    "bare",
    "check_name",
    "check_prefix",
    "namespace_of",
    "prefix",
    "prefix_of",
    "qualify",
    "split",
    "with_factor",
    "without_factor",
]

DEFAULT: Final = ""
"""The name of the namespace that every key is in which names none."""
NAME_LIMIT: Final = 64
"""Characters of a name."""
OVERHEAD_LIMIT_BYTES: Final = NAME_LIMIT + 3
"""Bytes that a qualified key may have more than the application's key: one of them is for a factor."""
FACTOR_LIMIT: Final = 9
"""The largest replication factor, far below the bytes of names."""

_FIRST: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789")
_OTHERS: Final = _FIRST | frozenset(b"._-")
_ESCAPE: Final = b"\x00\x00"


def check_name(name: object) -> str:
    """Return a namespace's name, "" being the default one; raises ``InvalidRequest``."""
    if isinstance(name, str):
        encoded = name.encode(errors="replace")
        if not name or (len(encoded) <= NAME_LIMIT and encoded[0] in _FIRST and _OTHERS.issuperset(encoded)):
            return name
    raise InvalidRequest(
        f"namespace: got {name!r:.80}, expected 1 to {NAME_LIMIT} of a-z 0-9 . _ - beginning with a letter or a digit"
    )


def prefix(name: str, factor: int = 0) -> bytes:
    """Return what every key of a named namespace begins with; nothing for the default one. ``factor``: the replication
    factor that the namespace has of its own, 0 for none."""
    if not check_name(name):
        return b""
    return (
        b"\x00%c%b%c" % (len(name) + 1, name.encode(), factor) if factor else b"\x00%c%b" % (len(name), name.encode())
    )


def qualify(name: str, key: bytes) -> bytes:
    """Return the key as it travels; raises ``InvalidRequest`` for a name that is none."""
    if not name:
        return _ESCAPE + key if key[:1] == b"\x00" else key
    return prefix(name) + key


def prefix_of(qualified: bytes) -> bytes:
    """Return the prefix of a qualified key that begins with byte 0 (``00 00`` for an escaped one), whatever follows;
    raises ``InvalidRequest`` for one that `qualify` never makes."""
    size = qualified[1] if len(qualified) > 1 else 0
    name = bare(qualified[2 : 2 + size])
    if size:
        is_sound = len(qualified) > 2 + size and 0 < len(name) <= NAME_LIMIT and name[0] in _FIRST
        is_sound = is_sound and _OTHERS.issuperset(name)
    else:
        is_sound = qualified[2:3] == b"\x00"
    if not is_sound:
        raise InvalidRequest(f"key: got {qualified!r:.80}, expected a namespace's prefix and a key after byte 0")
    return qualified[: 2 + size]


def check_prefix(qualified: bytes) -> None:
    """Raise ``InvalidRequest`` unless a client's keys of one namespace alone can begin with these bytes."""
    if qualified[:1] == b"\x00":
        _clients(prefix_of(qualified + b"\x00"))


def split(qualified: bytes) -> tuple[str, bytes]:
    """Return (namespace, the application's key); raises ``InvalidRequest`` for what `qualify` never makes."""
    if qualified[:1] != b"\x00":
        return DEFAULT, qualified
    found = _clients(prefix_of(qualified))
    return found[2:].decode(), qualified[len(found) :]


def _clients(found: bytes) -> bytes:
    """Return a prefix; raises ``InvalidRequest`` for one with a factor in it, which no client makes."""
    if bare(found[2:]) != found[2:]:
        raise InvalidRequest(f"key: got {found!r:.80}, expected a namespace's prefix without a factor")
    return found


def namespace_of(qualified: bytes) -> str:
    """Return the namespace of a well-formed qualified key."""
    if qualified[0]:
        return DEFAULT
    return bare(qualified[2 : 2 + qualified[1]]).decode("ascii", "replace")


def bare(name: bytes) -> bytes:
    """Return the name of a namespace as it stands in a qualified key, without a factor."""
    return name[:-1] if name and 0 < name[-1] <= FACTOR_LIMIT else name


def with_factor(qualified: bytes, factor: int) -> bytes:
    """Return a well-formed key, or prefix of keys, of a named namespace with its factor put in."""
    end = 2 + qualified[1]
    return b"\x00%c%b%c%b" % (qualified[1] + 1, qualified[2:end], factor, qualified[end:])


def without_factor(qualified: bytes) -> bytes:
    """Return a well-formed qualified key, or prefix of keys, as clients know it."""
    end = 2 + qualified[1] if len(qualified) > 2 and not qualified[0] else 0
    if not 2 < end <= len(qualified) or qualified[end - 1] > FACTOR_LIMIT:
        return qualified
    return b"\x00%c%b%b" % (qualified[1] - 1, qualified[2 : end - 1], qualified[end:])
