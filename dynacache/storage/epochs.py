"""Epochs: up to when everything of a kind has been invalidated.

What: an epoch is a hybrid time beside what it concerns: a namespace, a tag in it, the keys that match a pattern, or all
that is tagged. A version ends when its own time is not above an epoch that concerns it. ``left`` says what an epoch
leaves of a record; the store asks it of whatever comes in, of what is read until the sweep has passed, and in the
sweep.

Invariants: epochs only rise until they retire, and ``left`` depends on the record and the epochs alone, so replicas
that know the same epochs hold the same, in whatever order versions and epochs came; a late hint, a repair or a transfer
cannot bring back what has ended. Invalidating costs one entry here however many values have the tag.

What an ended version leaves (``versioning.invalidating``). By a tag: nothing, unless a version that it superseded may
lack the tag (MAY_BE_OUTLIVED, set when it was written) and would come back from a replica that missed it; then the
tombstone that its expiry would leave. By a namespace or pattern everything that it superseded ends with it, for that is
older, except that a client may carry a version from one coordinator to another whose clock is behind: within ``margin``
of the epoch a tombstone stays in any case (GUARDED), below it nothing does, and even deletes go (WIPED). A touch keeps
the time of a version and so never revives it. Counter cells have times of their own: one that has ended is not visible
to its actor's next increment, which starts at zero; an increment that has not heard of the invalidation and is later
than it is concurrent with it and brings along what its actor had added, as it would beside a delete. Brief R14.1-R14.4.
"""

import struct
from collections.abc import Callable

import attrs

from dynacache.errors import InvalidRequest
from dynacache.namespaces.names import bare
from dynacache.storage.records import is_tombstone
from dynacache.versioning.attachments import SLIDING_BYTES, tags_of, value_start
from dynacache.versioning.invalidating import invalidate, remains
from dynacache.versioning.kernel import ALIVE, DEAD, GUARDED, WIPED, Version
from dynacache.versioning.layout import ENTRY_BYTES, HEADER_BYTES, MANY, TOMBSTONE
from dynacache.versioning.packed import MAY_BE_OUTLIVED, SLIDING, TAGGED
from dynacache.wire.epoch_names import ALL_TAGS, FLUSH, PATTERN, TAG
from dynacache.wire.patterns import compile_pattern

__all__ = ["Epochs"]

_BLOCKS_COUNT = 2_048
_BLOCK_BYTES = 128
"""So many blocks of tags, none longer than this, are remembered with their epoch: values have few different ones, and
to take a block apart costs more than all else of a look."""

_unpack_time = struct.Struct(">5xQ").unpack_from


@attrs.define(eq=False)
class _Space:
    """The epochs of one namespace."""

    flush: int = 0
    all_tags: int = 0
    tags: dict[bytes, int] = attrs.field(factory=dict)
    patterns: dict[bytes, tuple[Callable[[bytes], object], int]] = attrs.field(factory=dict)
    newest_tag: int = 0
    newest_pattern: int = 0
    by_block: dict[bytes, int] = attrs.field(factory=dict)
    """What ``until`` has found."""

    def measure(self) -> None:
        """Find the newest of each kind again."""
        self.newest_tag = max(self.all_tags, max(self.tags.values(), default=0))
        self.newest_pattern = max((epoch for _, epoch in self.patterns.values()), default=0)

    @property
    def newest(self) -> int:
        return max(self.flush, self.newest_tag, self.newest_pattern)

    def of_key(self, key: bytes, time: int) -> int:
        """Return the newest epoch not below ``time`` that concerns a key, else 0 or an older one."""
        epoch = self.flush
        if time <= self.newest_pattern:
            for matches, at in self.patterns.values():
                if at > epoch and at >= time and matches(key):
                    epoch = at
        return epoch

    def until(self, block: bytes) -> int:
        """Return the newest epoch of a block of tags, as it stands before a value, 0 for none."""
        epochs = self.tags
        newest = max(self.all_tags, *[epochs.get(tag, 0) for tag in tags_of(TAGGED, block)])
        if len(block) <= _BLOCK_BYTES:
            if len(self.by_block) >= _BLOCKS_COUNT:
                self.by_block.clear()
            self.by_block[block] = newest
        return newest


@attrs.define(eq=False)
class Epochs:
    """The epochs that a node knows. False while there are none.

    ``margin``: hybrid time within which clocks of coordinators may differ, twice over. ``newest``: the latest epoch.
    """

    margin: int = 0
    newest: int = 0
    count: int = 0
    tag_count: int = 0
    """Of those, epochs of single tags."""

    _spaces: dict[bytes, _Space] = attrs.field(factory=dict)
    _default: _Space | None = None

    def __bool__(self) -> bool:
        return self.count > 0

    def raise_to(self, kind: int, namespace: bytes, argument: bytes, epoch: int) -> bool:
        """Take an epoch; False if one as late is known. Raises InvalidRequest for a pattern that cannot be one."""
        space = self._spaces.get(namespace)
        if space is None:
            if kind == PATTERN:
                compile_pattern(argument)  # before anything is changed
            space = self._spaces[namespace] = _Space()
            if not namespace:
                self._default = space
        held = self.get(kind, namespace, argument)
        if held >= epoch:
            return False
        space.by_block.clear()
        if kind == FLUSH:
            space.flush = epoch
        elif kind == ALL_TAGS:
            space.all_tags = epoch
        elif kind == TAG:
            space.tags[argument] = epoch
        elif kind == PATTERN:
            known = space.patterns.get(argument)
            matches = compile_pattern(argument) if known is None else known[0]
            space.patterns[argument] = matches, epoch
        else:
            raise InvalidRequest(f"kind of epoch: got {kind!r}")
        if kind == PATTERN:
            space.newest_pattern = max(space.newest_pattern, epoch)
        elif kind != FLUSH:
            space.newest_tag = max(space.newest_tag, epoch)
        self.count += held == 0
        self.tag_count += held == 0 and kind == TAG
        self.newest = max(self.newest, epoch)
        return True

    def drop(self, kind: int, namespace: bytes, argument: bytes) -> None:
        """Forget an epoch whose time has passed, or that another one includes."""
        if not self.get(kind, namespace, argument):
            return
        space = self._spaces[namespace]
        space.by_block.clear()
        if kind == FLUSH:
            space.flush = 0
        elif kind == ALL_TAGS:
            space.all_tags = 0
        elif kind == TAG:
            del space.tags[argument]
        else:
            del space.patterns[argument]
        self.count -= 1
        self.tag_count -= kind == TAG
        if not (space.flush or space.all_tags or space.tags or space.patterns):
            del self._spaces[namespace]
            if not namespace:
                self._default = None

    def measure(self) -> None:
        """After epochs were dropped, find what is the newest now."""
        for space in self._spaces.values():
            space.measure()
        self.newest = max((space.newest for space in self._spaces.values()), default=0)

    def get(self, kind: int, namespace: bytes, argument: bytes = b"") -> int:
        """Return an epoch, 0 for none."""
        space = self._spaces.get(namespace)
        if space is None:
            return 0
        if kind == TAG:
            return space.tags.get(argument, 0)
        if kind == PATTERN:
            return space.patterns[argument][1] if argument in space.patterns else 0
        return space.flush if kind == FLUSH else space.all_tags

    def tags(self, namespace: bytes) -> dict[bytes, int]:
        """Return the epochs of single tags, not to be changed."""
        space = self._spaces.get(namespace)
        return {} if space is None else space.tags

    def patterns(self, namespace: bytes) -> dict[bytes, int]:
        """Return the epochs of patterns."""
        space = self._spaces.get(namespace)
        return {} if space is None else {glob: epoch for glob, (_, epoch) in space.patterns.items()}

    def namespaces(self) -> list[bytes]:
        """Return the namespaces that have epochs, in order."""
        return sorted(self._spaces)

    # Judging.

    def left(self, key: bytes, record: bytes) -> bytes | None:
        """Return what is left of a record under a qualified key: the record itself if no epoch ends anything in it,
        None if it goes without a trace."""
        kind = record[1]
        (time,) = _unpack_time(record)
        if time > self.newest and kind != MANY:
            return record
        if key[0]:
            space = self._default
        else:
            namespace, key = _split(key)
            space = self._spaces.get(namespace)
        if space is None:
            return record
        if kind == MANY:
            return invalidate(record, self._fate(space, key))
        epoch = space.of_key(key, time) if time <= space.newest_pattern else space.flush
        if time <= epoch:
            if time <= epoch - self.margin:
                return None
            return record if kind == TOMBSTONE else remains(record, guarded=True)
        flags = record[2]
        if flags & TAGGED and time <= space.newest_tag and kind != TOMBSTONE:
            start = HEADER_BYTES + ENTRY_BYTES * record[3]
            if flags & SLIDING:
                start += SLIDING_BYTES
            block = record[start : start + 2 + (record[start] << 8 | record[start + 1])]
            until = space.by_block.get(block)
            if time <= (space.until(block) if until is None else until):
                return remains(record) if flags & MAY_BE_OUTLIVED else None
        return record

    def is_dead(self, key: bytes, record: bytes) -> bool:
        """Tell whether epochs leave no value of a record."""
        left = self.left(key, record)
        return left is None or (left is not record and is_tombstone(left))

    def key_epoch(self, key: bytes) -> int:
        """Return the newest epoch of its namespace, or of a pattern that it matches, of a qualified key."""
        namespace, key = (b"", key) if key[0] else _split(key)
        space = self._spaces.get(namespace)
        return 0 if space is None else space.of_key(key, 0)

    def tags_epoch(self, key: bytes, tags: tuple[bytes, ...]) -> int:
        """Return the newest epoch of some tags in the namespace of a key."""
        namespace = b"" if key[0] else _split(key)[0]
        space = self._spaces.get(namespace)
        if space is None or not tags:
            return 0
        return max(space.all_tags, *(space.tags.get(tag, 0) for tag in tags))

    def _fate(self, space: _Space, key: bytes) -> Callable[[Version], int]:
        margin = self.margin

        def fate(version: Version) -> int:
            time = version.time
            epoch = space.of_key(key, time)
            if time <= epoch:
                return WIPED if time <= epoch - margin else GUARDED
            flags = version.flags
            if flags & TAGGED and time <= space.newest_tag:
                start = SLIDING_BYTES if flags & SLIDING else 0
                if time <= space.until(version.payload[start : value_start(flags, version.payload, 0)]):
                    return DEAD
            return ALIVE

        return fate


def _split(key: bytes) -> tuple[bytes, bytes]:
    """Return (namespace, the user's key) of a qualified key that begins with a zero byte."""
    end = 2 + key[1] if len(key) > 1 else 2
    return bare(key[2:end]), key[end:]
