"""Whom to probe next, how long to wait for it, and what is known of a probe under way.

Members are probed in the order of a shuffled list, which is shuffled again at its end, and new members enter at a
random place: so a death is noticed within a bounded number of periods by everybody, not just on average (SWIM,
section 4.3). A member that is not to be probed is dropped from the list when its turn comes, and enters again when it
comes back to life.

The wait for a direct answer follows the measured round trips, so that on a fast network help is asked for early. All
figures that a probe needs are fixed when it begins.

Invariants: each member stands in the list at most once; finding the next costs constant time on average.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

from dynacache.config.membership import MembershipConfig
from dynacache.membership.state import Member

__all__ = ["Probe", "ProbeOrder", "RoundTrips"]

_SAMPLES: Final = 128
_SAMPLES_NEEDED: Final = 16
_RECOMPUTE_EVERY: Final = 8
_TIMEOUT_PER_ROUND_TRIP: Final = 3.0


@attrs.define
class Probe:
    """A probe under way of `target`, as the record stood when it began.

    `relays` maps the id of each member asked to help to whether it has sent a NACK.
    """

    target: Member
    sequence: int
    started_at_s: float
    indirect_at_s: float
    ends_at_s: float
    relays: dict[str, bool] = attrs.field(factory=dict)
    is_indirect: bool = False
    was_extended: bool = False

    @property
    def next_deadline_s(self) -> float:
        """When something is to be done about it."""
        return self.ends_at_s if self.is_indirect else self.indirect_at_s

    @property
    def missing_nacks(self) -> int:
        """How many of the members asked to help sent nothing at all."""
        return sum(not has_answered for has_answered in self.relays.values())


@attrs.define
class ProbeOrder:
    """The shuffled list of members to probe."""

    _random: random.Random
    _node_ids: list[str] = attrs.field(factory=list)
    _present: set[str] = attrs.field(factory=set)
    _position: int = 0

    def __len__(self) -> int:
        return len(self._node_ids)

    def add(self, node_id: str) -> None:
        """Let the member be probed, at a random place in the round; nothing changes if it stands there already."""
        if node_id in self._present:
            return
        self._present.add(node_id)
        place = self._random.randrange(len(self._node_ids) + 1)
        self._node_ids.insert(place, node_id)
        if place < self._position:
            self._position += 1

    def next(self, wanted: Callable[[str], bool]) -> str | None:
        """The id whose turn it is; those that are not `wanted` drop out. None if nobody is left."""
        node_ids = self._node_ids
        while node_ids:
            if self._position >= len(node_ids):
                self._random.shuffle(node_ids)
                self._position = 0
            node_id = node_ids[self._position]
            if wanted(node_id):
                self._position += 1
                return node_id
            node_ids.pop(self._position)
            self._present.remove(node_id)
        return None


@attrs.define
class RoundTrips:
    """The last round trips, and how long a direct probe should wait."""

    _config: MembershipConfig
    timeout_s: float = attrs.field(init=False)
    _samples_s: deque[float] = attrs.field(factory=lambda: deque(maxlen=_SAMPLES))
    _since_recompute: int = 0

    def __attrs_post_init__(self) -> None:
        self.timeout_s = self._config.probe_timeout_s

    def add(self, round_trip_s: float) -> None:
        """Take in one measured round trip, in seconds."""
        self._samples_s.append(round_trip_s)
        self._since_recompute += 1
        if len(self._samples_s) >= _SAMPLES_NEEDED and self._since_recompute >= _RECOMPUTE_EVERY:
            self._since_recompute = 0
            self.timeout_s = self._recomputed_s()

    def _recomputed_s(self) -> float:
        ordered = sorted(self._samples_s)
        percentile_s = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
        wanted_s = _TIMEOUT_PER_ROUND_TRIP * percentile_s
        return min(max(wanted_s, self._config.probe_timeout_minimum_s), self._config.probe_timeout_s)
