"""Hints: records kept for owners that are away.

What: target -> key -> hint, coalesced by merging, bounded in bytes and count per target and in bytes per node.

Invariant: a hint is kept or refused, never taken and dropped. Whoever removes a hint says why (``coordination.
hint_replay``); a counted one (it stood for an acknowledgement) goes only once enough owners hold its record, or as a
loss. Accounting equals a recount at all times. At most one hint of a key says that this process may go on minting under
its own base: the one that was minted last.

Why a store of its own: a fallback does not own the partition, so a hinted record must not be found by repair, count
for placement or be evicted; it is still found by reads while it exists (Dynamo section 4.6; brief R5.3, R5.6).
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import attrs

from dynacache.config.hints import HintConfig
from dynacache.errors import DynacacheError, Overloaded
from dynacache.types import NodeId
from dynacache.versioning import packed

__all__ = ["HINT_OVERHEAD_BYTES", "SCAN_LIMIT", "Hint", "HintStore"]

HINT_OVERHEAD_BYTES = 200
"""What a hint costs beyond its key and record: its own object, the dictionary entry, two byte-string headers."""

SCAN_LIMIT = 2_000
"""Hints of one target that one look for ending ones visits."""


@attrs.define(eq=False)
class Hint:
    """One record for one absent owner."""

    partition: int
    record: bytes
    stored_ms: int
    counted: bool
    queued: bool = False
    """It waits to be offered to all owners."""


@attrs.define(eq=False)
class HintStore:
    """Hints by target."""

    settings: HintConfig
    _by_target: dict[NodeId, dict[bytes, Hint]] = attrs.field(factory=dict)
    _bytes_by_target: dict[NodeId, int] = attrs.field(factory=dict)
    total_bytes: int = 0

    def add(self, target: NodeId, partition: int, key: bytes, record: bytes, now_ms: int, *, counted: bool) -> bool:
        """Keep a record for ``target``, merged with what is there; False when the budget refuses it.

        A record that was minted here was made of all that ``find`` returned, so it takes the place of what is there.
        """
        minted = bool(record[0] & packed.OWN_BASE)
        hints = self._by_target.setdefault(target, {})
        known = hints.get(key)
        try:
            merged = record if known is None or minted else packed.merge(known.record, record)
        except Overloaded:
            return False
        grown = len(merged) - len(known.record) if known else len(key) + len(merged) + HINT_OVERHEAD_BYTES
        if grown > 0 and not self._room(target, grown, known is None):
            if not hints:
                del self._by_target[target]
            return False
        if known is None:
            hints[key] = Hint(partition, merged, now_ms, counted)
        else:
            known.record = merged
            known.counted = known.counted or counted
        self._account(target, grown)
        if minted and len(self._by_target) > 1:
            self._disown(key, target)
        return True

    def refresh(self, key: bytes, record: bytes) -> None:
        """Bring the hints of a key up to what this node has learned of it, as far as the budget allows.

        Otherwise a hint could outlive what superseded it: once the successor is evicted everywhere, replaying the hint
        would bring the overwritten value back.
        """
        for target, hints in self._by_target.items():
            known = hints.get(key)
            if known is None:
                continue
            try:
                merged = packed.merge(known.record, packed.strip_local(record))
            except DynacacheError:
                continue  # a clock at its limit: the hint stays as it is
            grown = len(merged) - len(known.record)
            if grown <= 0 or self._room(target, grown, False):
                known.record = merged
                self._account(target, grown)

    def find(self, key: bytes) -> bytes | None:
        """Return all that is held of ``key``, for whichever absent owners, as one record; None when nothing is."""
        found: bytes | None = None
        for hints in self._by_target.values():
            hint = hints.get(key)
            if hint is None:
                continue
            if found is None:
                found = hint.record
            elif hint.record[0] & packed.OWN_BASE:
                found = packed.merge(hint.record, found)
            else:
                found = packed.merge(found, hint.record)
        return found

    def batch(self, target: NodeId, count: int, size_bytes: int) -> list[tuple[bytes, Hint]]:
        """Return the oldest hints for ``target``: at most ``count``, about ``size_bytes``, at least one if any."""
        found: list[tuple[bytes, Hint]] = []
        for key, hint in self._by_target.get(target, {}).items():
            found.append((key, hint))
            size_bytes -= len(hint.record)
            if len(found) >= count or size_bytes <= 0:
                break
        return found

    def delivered(self, target: NodeId, key: bytes, record: bytes) -> bool:
        """Remove a hint if it still is the record that was delivered; returns whether it was removed."""
        hint = self._by_target.get(target, {}).get(key)
        if hint is None or hint.record != record:
            return False
        self.remove(target, key)
        return True

    def remove(self, target: NodeId, key: bytes) -> None:
        """Remove a hint; removing what is not there changes nothing."""
        hints = self._by_target.get(target, {})
        hint = hints.pop(key, None)
        if hint is None:
            return
        self._account(target, -(len(key) + len(hint.record) + HINT_OVERHEAD_BYTES))
        if not hints:
            del self._by_target[target]
            del self._bytes_by_target[target]

    def ending(self, now_ms: int, before_end_ms: int, count: int) -> list[tuple[NodeId, bytes, Hint]]:
        """Return up to ``count`` hints, oldest of each target first, that have at most ``before_end_ms`` left to live
        and are not queued. Looks at no more than ``SCAN_LIMIT`` of each target."""
        found: list[tuple[NodeId, bytes, Hint]] = []
        newest_ms = now_ms + before_end_ms - self.settings.lifetime_ms
        for target, hints in self._by_target.items():
            for key, hint in islice(hints.items(), SCAN_LIMIT):
                if len(found) >= count:
                    return found
                if hint.stored_ms > newest_ms:
                    break
                if not hint.queued:
                    found.append((target, key, hint))
        return found

    def get(self, target: NodeId, key: bytes) -> Hint | None:
        """Return one hint, None if there is none."""
        return self._by_target.get(target, {}).get(key)

    def of_key(self, key: bytes) -> list[tuple[NodeId, Hint]]:
        """Return the hints of a key by target."""
        return [(target, hints[key]) for target, hints in self._by_target.items() if key in hints]

    def keys(self, target: NodeId) -> list[bytes]:
        """Return the keys of a target's hints, oldest first."""
        return list(self._by_target.get(target, ()))

    def summary(self, now_ms: int) -> list[dict[str, Any]]:
        """Return count, bytes and age of the oldest (ms) of each target's hints."""
        return [
            {
                "target": target,
                "hints": len(hints),
                "bytes": self._bytes_by_target[target],
                "oldest_age_ms": max(0, now_ms - next(iter(hints.values())).stored_ms),
            }
            for target, hints in self._by_target.items()
        ]

    def targets(self) -> list[NodeId]:
        """Return the owners for whom hints are kept."""
        return list(self._by_target)

    def counts(self) -> dict[NodeId, int]:
        """Return the number of hints for each absent owner."""
        return {target: len(hints) for target, hints in self._by_target.items()}

    def items(self) -> Iterator[tuple[NodeId, bytes, Hint]]:
        """Yield every hint."""
        for target, hints in self._by_target.items():
            for key, hint in hints.items():
                yield target, key, hint

    def recount_bytes(self) -> int:
        """Return what ``total_bytes`` must be, computed afresh."""
        return sum(len(key) + len(hint.record) + HINT_OVERHEAD_BYTES for _, key, hint in self.items())

    def _disown(self, key: bytes, minted_for: NodeId) -> None:
        """Let no other hint of the key go on under our base: its clock ends before what was just minted."""
        for target, hints in self._by_target.items():
            hint = hints.get(key)
            if hint is not None and target != minted_for:
                hint.record = packed.strip_local(hint.record)

    def _room(self, target: NodeId, grown: int, is_new: bool) -> bool:
        settings = self.settings
        if is_new and len(self._by_target[target]) >= settings.target_limit_count:
            return False
        within_target = self._bytes_by_target.get(target, 0) + grown <= settings.target_limit_bytes
        return within_target and self.total_bytes + grown <= settings.limit_bytes

    def _account(self, target: NodeId, grown: int) -> None:
        self._bytes_by_target[target] = self._bytes_by_target.get(target, 0) + grown
        self.total_bytes += grown
