"""Reading: what a record says to a reader at one moment, whatever types its versions have.

What: ``read`` resolves the versions of a record into one View: the winner's value and times, and the siblings that live
on beside it. A number with increments on top reads as their sum; the type of the newest visible version decides.

Invariant: equal records read equal at equal times, on every replica; reading changes nothing. An expired version is not
found even before the clean-up has visited it, and its older siblings do not take its place.

Why one function for all types: the caller has bytes and wants a value. Code on the hot path looks at the header itself
when the record's kind is VALUE, and comes here for everything else.
"""

import attrs

from dynacache.datatypes.contract import Cell
from dynacache.datatypes.counter import Counter
from dynacache.datatypes.register import Register, number_of
from dynacache.versioning import kernel
from dynacache.versioning.attachments import ATTACHED, tags_of, value_start
from dynacache.versioning.kernel import EXPIRED, Resolution, State
from dynacache.versioning.layout import ENTRY_BYTES, HEADER, HEADER_BYTES, MANY, TOMBSTONE, decode

__all__ = ["Sibling", "View", "read"]


@attrs.frozen
class Sibling:
    """A value that lives beside the winner; the fields mean what they mean in a View."""

    flags: int
    payload: bytes
    time: int
    expire_ms: int
    created_ms: int


@attrs.frozen
class View:
    """What a reader gets.

    ``found``: there is a visible value, and ``flags`` (kernel.RAW ...), ``payload``, ``time`` (hybrid timestamp),
    ``expire_ms`` and ``created_ms`` are its. ``tombstone``: nothing visible, but a delete or an expiry is on record as
    a tombstone. Where nothing is visible, ``time`` is that of the newest version, and ``flags & kernel.EXPIRED`` says
    that it expired and was not deleted. ``siblings`` are newest first and do not include the winner.
    ``attached`` is what stood before the value in its payload (``versioning.attachments``), as ``flags`` say.
    """

    found: bool
    tombstone: bool
    flags: int
    payload: bytes
    time: int
    expire_ms: int
    created_ms: int
    siblings: tuple[Sibling, ...] = ()
    attached: bytes = b""

    @property
    def tags(self) -> tuple[bytes, ...]:
        """The tags of the value that is visible."""
        return tags_of(self.flags, self.attached)

    @property
    def sibling_count(self) -> int:
        """How many values live beside the winner."""
        return len(self.siblings)


_register = Register()
_counter = Counter()


def read(record: bytes, now_ms: int) -> View:
    """Return what a well-formed record says at ``now_ms`` on the hybrid clock."""
    _, kind, flags, count, _, time, expire_ms, created_ms = HEADER.unpack_from(record)
    if kind == MANY:
        return _read_many(decode(record), now_ms)
    if kind == TOMBSTONE:
        return View(False, True, flags, b"", time, 0, created_ms)
    if 0 < expire_ms <= now_ms:
        return View(False, False, EXPIRED, b"", time, expire_ms, created_ms)
    start = end = HEADER_BYTES + ENTRY_BYTES * count
    if flags & ATTACHED:
        start = value_start(flags, record, end)
    return View(True, False, flags, record[start:], time, expire_ms, created_ms, (), record[end:start])


def _read_many(state: State, now_ms: int) -> View:
    seen = kernel.resolve(state.dots, now_ms)
    siblings = [_sibling((dot, state.dots[dot])) for dot in seen.losers]
    if seen.winner is None:
        return _nothing(state, tuple(siblings))
    base = None if seen.base is None else (seen.base, state.dots[seen.base])
    if not seen.cells:
        assert base is not None, "a winner is the base or a cell"
        return _found(base, _register.payload(base, ()), base[1].expire_ms, siblings)
    return _read_with_cells(state, seen, base, siblings)


def _nothing(state: State, siblings: tuple[Sibling, ...]) -> View:
    newest = max(state.dots.values(), key=lambda version: version.time, default=None)
    if newest is None:
        return View(False, False, 0, b"", 0, 0, 0, siblings)
    tombstone = any(version.kind == kernel.TOMBSTONE for version in state.dots.values())
    flags = newest.flags if newest.kind == kernel.TOMBSTONE else EXPIRED
    return View(False, tombstone, flags, b"", newest.time, newest.expire_ms, newest.created_ms, siblings)


def _read_with_cells(state: State, seen: Resolution, base: Cell | None, siblings: list[Sibling]) -> View:
    cells = [(dot, state.dots[dot]) for dot in seen.cells]
    expire_ms = kernel.cells_expiry(state.dots)
    if base is not None and number_of(base[1].flags, base[1].payload) is not None:
        expire_ms = kernel.longest(expire_ms, base[1].expire_ms)
    elif base is not None and seen.winner == seen.base:
        hidden = _sibling(cells[0], _counter.payload(None, cells), expire_ms)
        return _found(base, _register.payload(base, ()), base[1].expire_ms, [hidden, *siblings])
    elif base is not None:
        siblings = [_sibling(base), *siblings]
        base = None
    parts = cells if base is None else [*cells, base]
    winner = max(parts, key=lambda cell: (cell[1].time, cell[0]))
    view = _found(winner, _counter.payload(base, cells), expire_ms, siblings)
    return attrs.evolve(view, created_ms=min(version.created_ms for _, version in parts))


def _found(winner: Cell, payload: bytes, expire_ms: int, siblings: list[Sibling]) -> View:
    version = winner[1]
    siblings.sort(key=lambda sibling: sibling.time, reverse=True)
    attached = version.payload[: value_start(version.flags, version.payload, 0)]
    times = (version.time, expire_ms, version.created_ms)
    return View(True, False, version.flags, payload, *times, tuple(siblings), attached)


def _sibling(cell: Cell, payload: bytes | None = None, expire_ms: int | None = None) -> Sibling:
    version = cell[1]
    return Sibling(
        version.flags,
        version.payload[value_start(version.flags, version.payload, 0) :] if payload is None else payload,
        version.time,
        version.expire_ms if expire_ms is None else expire_ms,
        version.created_ms,
    )
