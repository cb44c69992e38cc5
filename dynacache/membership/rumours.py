"""The rumours that wait to ride on packets, least sent and newest first.

Every claim worth spreading is put here once, already encoded, and leaves on packets that are sent anyway or by the
gossip round. A rumour is sent a bounded number of times by each node; epidemics need no more (SWIM section 4.1).
Rumours are kept in levels by the number of times they were sent, each level in the order of arrival, so choosing what
goes into a packet costs time in proportion to what is taken, not to what waits.

Invariants: at most one rumour about a node (a newer claim replaces the older and starts again); at most `limit`
rumours; the rumour about this node itself leaves first. At the limit the most sent and oldest rumour is dropped and
counted.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

__all__ = ["RumourQueue", "sends_limit"]

_MISFITS_LIMIT: Final = 8
"""Rumours too large for what is left of a packet that are passed over before the search ends."""

_SMALLEST_BYTES: Final = 24
"""No encoded claim is smaller, so less room than this ends the search."""


def sends_limit(members: int, minimum: int, factor: int) -> int:
    """How often each node sends one rumour in a cluster of `members` nodes."""
    return max(minimum, factor * math.ceil(math.log10(members + 1)))


@attrs.define
class RumourQueue:
    """Encoded claims by node id, each with the number of times it was sent."""

    _own_id: str
    _limit: int
    dropped: int = 0
    _levels: list[dict[str, bytes]] = attrs.field(factory=lambda: [{}])
    _level_of: dict[str, int] = attrs.field(factory=dict)

    def __len__(self) -> int:
        return len(self._level_of)

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._level_of

    @property
    def is_waiting(self) -> bool:
        """True while there is anything to tell."""
        return bool(self._level_of)

    def add(self, node_id: str, encoded: bytes, *, sent: int = 0) -> None:
        """Queue a claim about `node_id`, in place of any older one; `sent` counts as sends it has already had."""
        assert sent >= 0
        self.discard(node_id)
        if len(self._level_of) >= self._limit:
            self._drop_one()
        self._put(node_id, encoded, sent)

    def discard(self, node_id: str) -> None:
        """Stop spreading anything about `node_id`."""
        level = self._level_of.pop(node_id, None)
        if level is not None:
            del self._levels[level][node_id]

    def take(self, room_bytes: int, sends: int, count_limit: int) -> list[bytes]:
        """At most `count_limit` claims that fit into `room_bytes` together; each of them has then been sent once more.

        `sends` is how often a rumour may be sent in all; a rumour that reaches it is gone.
        """
        if not self._level_of:
            return []
        chosen = self._choose(room_bytes, sends, count_limit)
        self._advance(chosen, sends)
        return [encoded for _, _, encoded in chosen]

    def _choose(self, room_bytes: int, sends: int, count_limit: int) -> list[tuple[int, str, bytes]]:
        chosen: list[tuple[int, str, bytes]] = []
        misfits = 0
        own_id = self._own_id
        own_level = self._level_of.get(own_id)
        if own_level is not None and own_level < sends and count_limit > 0:
            encoded = self._levels[own_level][own_id]
            if len(encoded) <= room_bytes:
                chosen.append((own_level, own_id, encoded))
                room_bytes -= len(encoded)
        for level, rumours in enumerate(self._levels[:sends]):
            if not rumours:
                continue
            for node_id, encoded in reversed(rumours.items()):
                if room_bytes < _SMALLEST_BYTES or len(chosen) >= count_limit or misfits >= _MISFITS_LIMIT:
                    return chosen
                size = len(encoded)
                if size > room_bytes:
                    misfits += node_id != own_id
                elif node_id != own_id:
                    chosen.append((level, node_id, encoded))
                    room_bytes -= size
        return chosen

    def _advance(self, chosen: list[tuple[int, str, bytes]], sends: int) -> None:
        """Count one more send of each: the newest last, as they stood."""
        levels, level_of = self._levels, self._level_of
        for level, node_id, encoded in reversed(chosen):
            del levels[level][node_id]
            following = level + 1
            if following >= sends:
                del level_of[node_id]
                continue
            if following == len(levels):
                levels.append({})
            levels[following][node_id] = encoded
            level_of[node_id] = following

    def _put(self, node_id: str, encoded: bytes, level: int) -> None:
        while len(self._levels) <= level:
            self._levels.append({})
        self._levels[level][node_id] = encoded
        self._level_of[node_id] = level

    def _drop_one(self) -> None:
        for rumours in reversed(self._levels):
            if rumours:
                self.discard(next(iter(rumours)))
                self.dropped += 1
                return
