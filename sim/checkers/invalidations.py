"""What was invalidated, as the judges see it: which operations and which epochs end which versions.

What: ``Invalidations`` comes from the history (who invalidated what, who wrote which tags) and from what nodes took
into their catalogues. ``concerns`` tells whether an invalidation is about a key with some tags; ``ends`` whether any
epoch that any node ever knew ends a version; ``seen_s`` when such an epoch was first known anywhere.

Invariant: the tags of a version are those that its writer gave, and patterns are matched here by rules of their own, so
a node that loses a tag or matches otherwise is not believed.
"""

import attrs

from dynacache.wire.epoch_names import ALL_TAGS, EPOCH_PREFIX, FLUSH, PATTERN, TAG, parse_epoch_name

from ..evidence import Evidence
from ..history import OperationKind, OperationRecord
from ..options import write_quorum

__all__ = ["INVALIDATORS", "Invalidations", "concerns", "lost_while_spreading", "matches", "namespace_of"]

INVALIDATORS = frozenset({OperationKind.INVALIDATE_TAG, OperationKind.INVALIDATE_PATTERN, OperationKind.FLUSH})
"""Operations that end whatever they concern."""

_SPREAD_S = 15.0
"""Within this a change of the catalogue has reached every node that somebody reaches."""
_KINDS = {TAG: OperationKind.INVALIDATE_TAG, PATTERN: OperationKind.INVALIDATE_PATTERN, FLUSH: OperationKind.FLUSH}


@attrs.define(eq=False)
class Invalidations:
    """The invalidations of one run."""

    epochs: dict[tuple[int, bytes, bytes], int]
    """(kind, namespace, tag or pattern) -> the latest epoch that any node knew."""
    seen_s: dict[tuple[int, bytes, bytes], list[tuple[float, int]]]
    """When which epoch was first known."""
    operations: tuple[OperationRecord, ...]
    """Those that may have had an effect, in order of their call."""
    tags: dict[bytes, tuple[bytes, ...]]
    """By the value that was written."""

    @classmethod
    def of(cls, evidence: Evidence) -> "Invalidations":
        """Read a run."""
        epochs: dict[tuple[int, bytes, bytes], int] = {}
        seen_s: dict[tuple[int, bytes, bytes], list[tuple[float, int]]] = {}
        for event in evidence.catalogue:
            if event.name[:1] == EPOCH_PREFIX:
                name = parse_epoch_name(event.name)
                if event.stamp > epochs.get(name, 0):
                    epochs[name] = event.stamp
                    seen_s.setdefault(name, []).append((event.at_s, event.stamp))
        operations = tuple(record for record in evidence.history if record.kind in INVALIDATORS)
        tags = {
            record.arguments["value"]: tuple(record.arguments["tags"])
            for record in evidence.history
            if record.arguments.get("tags") and "value" in record.arguments
        }
        return cls(epochs, seen_s, operations, tags)

    def tags_of(self, value: bytes | None) -> tuple[bytes, ...]:
        """Return the tags that a value was written with."""
        return () if value is None else self.tags.get(value, ())

    def all_tags(self) -> tuple[tuple[bytes, ...]]:
        """Return, as of one value, every tag that was invalidated: what these do not end nothing does."""
        return (tuple(sorted({argument for kind, _, argument in self.epochs if kind == TAG})),)

    def ends(self, key: bytes, time: int, tags: tuple[bytes, ...]) -> bool:
        """Return whether a version of this time, of a qualified key and with these tags, ends by an epoch."""
        return any(stamp >= time and _applies(name, key, tags) for name, stamp in self.epochs.items())

    def known_between(self, key: bytes, tags: tuple[bytes, ...], begin_s: float, end_s: float) -> bool:
        """Return whether an epoch that is about a key or some tags became known anywhere between two moments."""
        return any(
            begin_s <= at_s <= end_s
            for name, seen in self.seen_s.items()
            if _applies(name, key, tags)
            for at_s, _ in seen
        )


def concerns(invalidation: OperationRecord, key: bytes, tags: tuple[bytes, ...]) -> bool:
    """Return whether an invalidation is about a qualified key whose value has these tags."""
    argument = invalidation.arguments.get("tag") or invalidation.arguments.get("pattern") or b""
    kind = next(kind for kind, each in _KINDS.items() if each is invalidation.kind)
    return _applies((kind, invalidation.arguments.get("namespace", b""), argument), key, tags)


def lost_while_spreading(evidence: Evidence, operation: OperationRecord) -> bool:
    """Return whether as many nodes as make a quorum lost their memory while a change of the catalogue was made, or
    before it had spread: what they alone knew of is gone, and that is beyond the fault model."""
    begin_s, end_s = operation.call_s, operation.return_s or operation.call_s
    lost = {
        (event.node_id, event.incarnation)
        for event in evidence.machines
        if event.kind in ("crashed", "stopped", "halted") and begin_s <= event.at_s <= end_s + _SPREAD_S
    }
    return len(lost) >= write_quorum(evidence.options, operation.arguments.get("namespace", b"").decode())


def _applies(name: tuple[int, bytes, bytes], key: bytes, tags: tuple[bytes, ...]) -> bool:
    kind, namespace, argument = name
    own, plain = namespace_of(key)
    if namespace != own:
        return False
    if kind == TAG:
        return argument in tags
    if kind == ALL_TAGS:
        return bool(tags)
    return kind == FLUSH or matches(argument, plain)


def namespace_of(key: bytes) -> tuple[bytes, bytes]:
    """Return (namespace, the user's key) of a qualified key."""
    if key[:1] != b"\x00":
        return b"", key
    end = 2 + key[1]
    return key[2:end], key[end:]


def matches(pattern: bytes, key: bytes) -> bool:
    """Return whether a pattern of literal bytes, ``*`` and ``?`` matches a whole key."""
    if not pattern:
        return not key
    if pattern[:1] == b"*":
        return any(matches(pattern[1:], key[at:]) for at in range(len(key) + 1))
    return bool(key) and pattern[:1] in (b"?", key[:1]) and matches(pattern[1:], key[1:])
