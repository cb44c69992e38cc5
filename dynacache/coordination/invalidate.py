"""Invalidation by tag, pattern or namespace: one epoch in the catalogue, whatever it ends.

What: ``Invalidator`` serves ``INVALIDATE``: it dates an epoch, has the catalogue bring it to every node at the level
asked for, and answers then. It keeps the store's ``Epochs`` equal to the catalogue, and the catalogue small.

Invariant: every node that holds the same catalogue judges alike. An epoch is dated ``max_clock_skew_ms`` ahead of this
node's hybrid clock, so that it covers what a coordinator with a fast clock wrote just before; with ``strict`` off it is
dated now. An epoch leaves the catalogue only when its absence changes nothing: another one includes it (a flush those
of its namespace that are not younger, all tags single ones), or every copy that is not stale has long swept, after the
time for which deletes are remembered. Both are functions of names and stamps, so nodes agree on what they keep.

Limits: beyond ``tag_epochs_limit`` tags the oldest quarter becomes one epoch of all tags for each namespace: too much
is invalid then, never too little. A pattern beyond ``pattern_epochs_limit`` of its namespace is refused; what several
nodes took apart is kept up to ``_PATTERNS_TWICE`` times that, and then the oldest become a flush. Brief R14.1 to R14.4.
"""

from typing import Protocol

import attrs
from pyroaring import BitMap

from dynacache.coordination.shared import Shared
from dynacache.errors import DynacacheError, InvalidRequest, Overloaded
from dynacache.events import ConnectionId, Message
from dynacache.namespaces.names import check_name
from dynacache.types import Level
from dynacache.versioning.attachments import TAG_LIMIT_BYTES
from dynacache.wire.epoch_names import ALL_TAGS, EPOCH_PREFIX, FLUSH, PATTERN, TAG, epoch_name, parse_epoch_name
from dynacache.wire.messages import DONE
from dynacache.wire.patterns import PATTERN_LIMIT_BYTES, compile_pattern

__all__ = ["EpochsPort", "Invalidator", "JudgedStore"]

_PATTERNS_TWICE = 4
_FIELDS_LIMIT = 8
_RETIRE_INTERVAL_MS = 10_000


class EpochsPort(Protocol):
    """The store's ``Epochs``."""

    margin: int
    tag_count: int

    def raise_to(self, kind: int, namespace: bytes, argument: bytes, epoch: int) -> bool:
        """Take an epoch; False if one as late is known."""
        ...

    def drop(self, kind: int, namespace: bytes, argument: bytes) -> None:
        """Forget an epoch."""
        ...

    def measure(self) -> None:
        """After epochs were dropped, find what is the newest now."""
        ...

    def get(self, kind: int, namespace: bytes, argument: bytes = b"") -> int:
        """Return an epoch, 0 for none."""
        ...

    def tags(self, namespace: bytes) -> dict[bytes, int]:
        """Return the epochs of single tags."""
        ...

    def patterns(self, namespace: bytes) -> dict[bytes, int]:
        """Return the epochs of patterns."""
        ...

    def namespaces(self) -> list[bytes]:
        """Return the namespaces that have epochs."""
        ...


class JudgedStore(Protocol):
    """The store as far as epochs are its business."""

    @property
    def epochs(self) -> EpochsPort:
        """What it judges by."""
        ...

    @property
    def stale(self) -> BitMap:
        """Partitions that have not been compared with a complete copy for nearly the grace limit."""
        ...

    def epochs_risen(self) -> None:
        """Take note of a new epoch."""
        ...

    def epochs_dropped(self) -> None:
        """Take note that epochs are gone."""
        ...


@attrs.define(eq=False)
class _Answer:
    """Whoever waits for an invalidation."""

    shared: Shared
    connection: ConnectionId
    rid: int

    def finished(self, error: DynacacheError | None) -> None:
        """Answer the client."""
        if error is None:
            self.shared.effects.send(self.connection, (DONE, self.rid, True))
        else:
            self.shared.fail(self.connection, self.rid, error)


@attrs.define(eq=False)
class Invalidator:
    """Epochs of one node. ``retention_ms``: how long an epoch is kept."""

    shared: Shared
    store: JudgedStore
    retention_ms: int
    invalidations: int = 0
    folded: int = 0
    _next_retire_ms: int = 2**63

    def __attrs_post_init__(self) -> None:
        """Follow the catalogue."""
        self.store.epochs.margin = 2 * self.shared.clock.max_skew_ms << 16
        self.shared.catalogue.accepts.append(self._accepts)
        self.shared.catalogue.listeners.append(self._learned)
        self.shared.catalogue.dropped.append(self._dropped)

    # Requests

    def serve(self, connection: ConnectionId, message: Message, hops: int = 0) -> None:
        """Serve INVALIDATE. Raises errors of the tree with nothing changed."""
        rid = message[1]
        kind, namespace, argument, level, timeout_ms, strict = self._fields(message)
        self.invalidate(kind, namespace, argument, level, timeout_ms, _Answer(self.shared, connection, rid), strict)

    def invalidate(
        self,
        kind: int,
        namespace: bytes,
        argument: bytes,
        level: int,
        timeout_ms: int,
        answer: _Answer,
        strict: bool = True,
    ) -> None:
        """Invalidate here and everywhere; the answer comes when the level is reached."""
        shared = self.shared
        if kind == PATTERN:
            compile_pattern(argument)
            active = self.store.epochs.patterns(namespace)
            limit = shared.settings.pattern_epochs_limit
            if len(active) >= limit and argument not in active:
                raise Overloaded(
                    f"pattern: {len(active)} patterns of this namespace are remembered as invalidated, the limit is"
                    f" {limit}; use a tag, or flush the namespace"
                )
        shared.clock.last += 1
        stamp = shared.clock.last + (shared.clock.max_skew_ms << 16 if strict else 0)
        self.invalidations += 1
        entries = [(epoch_name(kind, namespace, argument), stamp, b"")]
        for wider in (FLUSH, ALL_TAGS):  # what includes it already must be where it would have to be
            at = self.store.epochs.get(wider, namespace)
            if at >= stamp and (wider == FLUSH or kind == TAG):
                entries.append((epoch_name(wider, namespace), at, b""))
        shared.catalogue_port.change(entries, level, timeout_ms, answer.finished)

    def _fields(self, message: Message) -> tuple[int, bytes, bytes, int, int, bool]:
        settings = self.shared.settings
        given = [*message[2:_FIELDS_LIMIT], *(None,) * (_FIELDS_LIMIT - len(message))]
        kind, namespace, argument, level, timeout_ms, strict = given
        if len(message) > _FIELDS_LIMIT:
            raise InvalidRequest(f"invalidate: got {len(message)} fields, expected at most {_FIELDS_LIMIT}")
        if kind not in (FLUSH, TAG, PATTERN):
            raise InvalidRequest(f"invalidate: kind: got {kind!r:.80}, expected {TAG}, {PATTERN} or {FLUSH}")
        longest = {FLUSH: 0, TAG: TAG_LIMIT_BYTES, PATTERN: PATTERN_LIMIT_BYTES}[kind]
        namespace, argument = namespace or b"", argument or b""
        if type(namespace) is not bytes:
            raise InvalidRequest(f"namespace: got {namespace!r:.80}, expected the bytes of a name")
        check_name(namespace.decode("utf-8", "backslashreplace"))
        if type(argument) is not bytes or not min(1, longest) <= len(argument) <= longest:
            what = "pattern" if kind == PATTERN else "tag"
            raise InvalidRequest(f"{what}: got {argument!r:.80}, expected {min(1, longest)} to {longest} bytes")
        level, timeout_ms = level or settings.default_write_level, timeout_ms or settings.write_timeout_ms
        if type(level) is not int or not Level.ONE <= level <= Level.ALL:
            raise InvalidRequest(f"level: got {level!r:.80}, expected one, quorum, strict_quorum or all")
        if type(timeout_ms) is not int or not 0 < timeout_ms <= settings.longest_timeout_ms:
            raise InvalidRequest(f"timeout_ms: got {timeout_ms!r:.80}, expected 1 to {settings.longest_timeout_ms}")
        return kind, namespace, argument, level, timeout_ms, strict is not False

    # The catalogue

    def _accepts(self, name: bytes, stamp: int, value: bytes) -> bool:
        """Leave out an epoch whose time is over, or that another one includes."""
        if name[:1] != EPOCH_PREFIX:
            return True
        try:
            kind, namespace, _ = parse_epoch_name(name)
        except ValueError:
            return False
        epochs = self.store.epochs
        if self._is_over(stamp) or (kind != FLUSH and stamp <= epochs.get(FLUSH, namespace)):
            return False
        return kind != TAG or stamp > epochs.get(ALL_TAGS, namespace)

    def _learned(self, name: bytes, stamp: int, value: bytes) -> None:
        """Take an epoch, whoever made it."""
        if name[:1] != EPOCH_PREFIX:
            return
        kind, namespace, argument = parse_epoch_name(name)
        epochs = self.store.epochs
        self._next_retire_ms = min(self._next_retire_ms, (stamp >> 16) + self.retention_ms + _RETIRE_INTERVAL_MS)
        if epochs.raise_to(kind, namespace, argument, stamp):
            if kind in (FLUSH, ALL_TAGS):
                self._drop_included(kind, namespace, stamp)
            self.store.epochs_risen()
            if kind == TAG and epochs.tag_count > self.shared.settings.tag_epochs_limit:
                self._fold_tags()
            elif kind == PATTERN:
                self._fold_patterns(namespace)

    def _drop_included(self, kind: int, namespace: bytes, stamp: int) -> None:
        """Forget what a flush, or an epoch of all tags, includes."""
        epochs = self.store.epochs
        names = [(TAG, tag) for tag, at in epochs.tags(namespace).items() if at <= stamp]
        if kind == FLUSH:
            names += [(PATTERN, glob) for glob, at in epochs.patterns(namespace).items() if at <= stamp]
            if 0 < epochs.get(ALL_TAGS, namespace) <= stamp:
                names.append((ALL_TAGS, b""))
        self._drop([(each, namespace, argument) for each, argument in names])

    def _drop(self, found: list[tuple[int, bytes, bytes]]) -> None:
        epochs, catalogue = self.store.epochs, self.shared.catalogue
        for kind, namespace, argument in found:
            epochs.drop(kind, namespace, argument)
            catalogue.drop(epoch_name(kind, namespace, argument))
        if found:
            epochs.measure()
            self.store.epochs_dropped()

    def _fold_tags(self) -> None:
        """Make one epoch of all tags of the oldest quarter, for each namespace."""
        epochs = self.store.epochs
        listed = sorted((at, namespace) for namespace in epochs.namespaces() for at in epochs.tags(namespace).values())
        newest = {namespace: at for at, namespace in listed[: max(1, len(listed) // 4)]}
        self.folded += 1
        for namespace in sorted(newest):
            self.shared.catalogue.merge(epoch_name(ALL_TAGS, namespace), newest[namespace], b"")

    def _fold_patterns(self, namespace: bytes) -> None:
        """Make a flush of the oldest patterns of a namespace, where nodes apart took far too many."""
        stamps = sorted(self.store.epochs.patterns(namespace).values())
        surplus = len(stamps) - _PATTERNS_TWICE * self.shared.settings.pattern_epochs_limit
        if surplus > 0:
            self.folded += 1
            self.shared.catalogue.merge(epoch_name(FLUSH, namespace), stamps[surplus - 1], b"")

    # Time

    def tick(self) -> None:
        """Forget epochs whose time is over."""
        if self.shared.now_ms < self._next_retire_ms or self.store.stale:
            return
        epochs = [(name, entry[0]) for name, entry in self.shared.catalogue.entries.items() if name[:1] == EPOCH_PREFIX]
        self._drop([parse_epoch_name(name) for name, stamp in epochs if self._is_over(stamp)])
        oldest_ms = min((stamp >> 16 for _, stamp in epochs if not self._is_over(stamp)), default=2**63)
        self._next_retire_ms = oldest_ms + self.retention_ms + _RETIRE_INTERVAL_MS

    def _dropped(self, name: bytes) -> None:
        """Follow the catalogue where others have dropped an entry of it: a wrong clock had dated it."""
        epochs = self.store.epochs
        if name[:1] == EPOCH_PREFIX and epochs.get(*parse_epoch_name(name)):
            epochs.drop(*parse_epoch_name(name))
            epochs.measure()
            self.store.epochs_dropped()

    def statistics(self) -> dict[str, int]:
        """Return counters and gauges."""
        return {"invalidations": self.invalidations, "epochs_folded": self.folded}

    def _is_over(self, stamp: int) -> bool:
        """Tell whether nobody can bring what an epoch ended any more. While a copy of ours is stale we may be the only
        ones who know it, and copies that are all stale bring each other everything (seed 716)."""
        return self.shared.now_ms - (stamp >> 16) > self.retention_ms and not self.store.stale
