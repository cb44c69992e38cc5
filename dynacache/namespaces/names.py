"""Qualified keys: the namespace as a part of the key.

What: a key of the default namespace is its own bytes, except that one which begins with byte 0 becomes ``00 00 key``.
A key of the namespace ``name`` is ``00 len(name) name key``. Clients qualify; nodes look at the first byte.

Invariant: `qualify` is injective, and `split` is its inverse on exactly its image: whatever else begins with byte 0 is
refused as malformed. All keys of a namespace, and no others, begin with its `prefix`; the default one's are those that
do not begin with 0, or with ``00 00``.

Why names of so few characters: they stand in configuration, metrics, file names and command lines, where case, spaces
and look-alikes cost more than they give. The first character is a letter or a digit so that none looks like an option.
"""

from typing import Final

from dynacache.errors import InvalidRequest

__all__ = [
    "DEFAULT",
    "NAME_LIMIT",
    "OVERHEAD_LIMIT_BYTES",
    "check_name",
    "check_prefix",
    "namespace_of",
    "prefix",
    "prefix_of",
    "qualify",
    "split",
]

DEFAULT: Final = ""
"""The name of the namespace that every key is in which names none."""
NAME_LIMIT: Final = 64
"""Characters of a name."""
OVERHEAD_LIMIT_BYTES: Final = NAME_LIMIT + 2
"""Bytes that a qualified key may have more than the application's key."""

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


def prefix(name: str) -> bytes:
    """Return what every key of a named namespace begins with; nothing for the default one."""
    return b"\x00%c%b" % (len(name), name.encode()) if check_name(name) else b""


def qualify(name: str, key: bytes) -> bytes:
    """Return the key as it travels; raises ``InvalidRequest`` for a name that is none."""
    if not name:
        return _ESCAPE + key if key[:1] == b"\x00" else key
    return prefix(name) + key


def prefix_of(qualified: bytes) -> bytes:
    """Return the prefix of a qualified key that begins with byte 0 (``00 00`` for an escaped one), whatever follows;
    raises ``InvalidRequest`` for one that `qualify` never makes."""
    size = qualified[1] if len(qualified) > 1 else 0
    name = qualified[2 : 2 + size]
    if size:
        is_sound = len(qualified) > 2 + size <= OVERHEAD_LIMIT_BYTES and name[0] in _FIRST and _OTHERS.issuperset(name)
    else:
        is_sound = qualified[2:3] == b"\x00"
    if not is_sound:
        raise InvalidRequest(f"key: got {qualified!r:.80}, expected a namespace's prefix and a key after byte 0")
    return qualified[: 2 + size]


def check_prefix(qualified: bytes) -> None:
    """Raise ``InvalidRequest`` unless keys of one namespace alone can begin with these bytes."""
    if qualified[:1] == b"\x00":
        prefix_of(qualified + b"\x00")


def split(qualified: bytes) -> tuple[str, bytes]:
    """Return (namespace, the application's key); raises ``InvalidRequest`` for what `qualify` never makes."""
    if qualified[:1] != b"\x00":
        return DEFAULT, qualified
    found = prefix_of(qualified)
    return found[2:].decode(), qualified[len(found) :]


def namespace_of(qualified: bytes) -> str:
    """Return the namespace of a well-formed qualified key."""
    if qualified[0]:
        return DEFAULT
    return qualified[2 : 2 + qualified[1]].decode("ascii", "replace")
