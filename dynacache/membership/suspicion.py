"""Suspicions that run out: how long a member may stay SUSPECT before it is held DEAD.

A suspicion starts long and shrinks with each independent confirmation, by the logarithm, so a first accuser that is
itself slow leaves the accused much time, while several witnesses bring the verdict soon (Lifeguard, section 3.2). The
formula stands alone in `timeout_s`. Deadlines live in a heap; one that moved or was cancelled leaves a dead entry
behind, which is skipped, and the heap is rebuilt when most of it is dead.

Gossip tells a refutation to almost everybody, not to everybody: in a view that it missed, the suspicion would run out
although the accused is well and all others know it. So every suspicion has a last call, one notice before its end:
whoever holds it then asks the accused and some others once more, and has a whole notice to hear them.

Invariants: minimum <= timeout <= maximum; a confirmation never lengthens a suspicion; one accuser counts once; no
suspicion ends sooner than one notice after its last call; no cost per member that is not suspected.
"""

from __future__ import annotations

import heapq
import math
from typing import Final

import attrs

from dynacache.config.membership import MembershipConfig

__all__ = ["Suspicion", "SuspicionTable", "timeout_s"]

_HEAP_SLACK: Final = 64


def timeout_s(confirmations: int, needed: int, minimum_s: float, maximum_s: float) -> float:
    """How long a suspicion lasts, in seconds, after so many of the `needed` confirmations; the minimum when none is
    needed."""
    if needed < 1:
        return minimum_s
    shrunk = math.log(confirmations + 1.0) / math.log(needed + 1.0)
    return max(minimum_s, maximum_s - (maximum_s - minimum_s) * shrunk)


@attrs.define
class Suspicion:
    """One running suspicion; `accusers` are ids in the order they were heard."""

    started_at_s: float
    needed: int
    minimum_s: float
    maximum_s: float
    accusers: dict[str, None]
    called_at_s: float | None = None
    """When the last call was due and taken; None before."""
    due_s: float = math.inf
    """When something is due, the last call or the end, as it was when last computed: whoever drives a core asks for
    it many times between two changes."""

    def deadline_s(self) -> float:
        """When the accused is held DEAD."""
        confirmations = len(self.accusers) - 1
        return self.started_at_s + timeout_s(confirmations, self.needed, self.minimum_s, self.maximum_s)


@attrs.define
class SuspicionTable:
    """All running suspicions by node id, with their deadlines in order."""

    _config: MembershipConfig
    _by_id: dict[str, Suspicion] = attrs.field(factory=dict)
    _heap: list[tuple[float, str]] = attrs.field(factory=list)

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._by_id

    def start(self, node_id: str, source: str, now_s: float, members: int) -> None:
        """Suspect `node_id` on the word of `source`, in a cluster of `members` live nodes; replaces an older
        suspicion."""
        config = self._config
        minimum_s = config.suspicion_minimum_factor * max(1.0, math.log10(max(members, 1))) * config.probe_period_s
        needed = config.suspicion_confirmations if members - 2 >= config.suspicion_confirmations else 0
        self._by_id[node_id] = Suspicion(
            now_s, needed, minimum_s, minimum_s * config.suspicion_maximum_factor, {source: None}
        )
        self._push(node_id)

    def confirm(self, node_id: str, source: str) -> bool:
        """Count one more accuser; True if it was new and brought the deadline nearer, so that it is worth telling
        on."""
        suspicion = self._by_id.get(node_id)
        if suspicion is None or source in suspicion.accusers or len(suspicion.accusers) > suspicion.needed:
            return False
        suspicion.accusers[source] = None
        self._push(node_id)
        return True

    def has_accused(self, node_id: str, source: str) -> bool:
        """True if `source` is among the accusers of a running suspicion."""
        suspicion = self._by_id.get(node_id)
        return suspicion is not None and source in suspicion.accusers

    def cancel(self, node_id: str) -> None:
        """The suspicion is over, whatever its end."""
        self._by_id.pop(node_id, None)

    def source_of(self, node_id: str, preferred: str) -> str | None:
        """Whose word the suspicion rests on: `preferred` if it is among the accusers, else the first; None without
        one."""
        suspicion = self._by_id.get(node_id)
        if suspicion is None:
            return None
        return preferred if preferred in suspicion.accusers else next(iter(suspicion.accusers))

    def due(self, now_s: float) -> tuple[list[str], list[str]]:
        """The members for whom it is time for the last call, and those whose time is up, removed from the table."""
        called: list[str] = []
        expired: list[str] = []
        while self.next_deadline_s() <= now_s:
            node_id = heapq.heappop(self._heap)[1]
            suspicion = self._by_id[node_id]
            if suspicion.called_at_s is None:
                suspicion.called_at_s = now_s
                self._push(node_id)
                called.append(node_id)
            else:
                del self._by_id[node_id]
                expired.append(node_id)
        return called, expired

    def next_deadline_s(self) -> float:
        """When the next suspicion has its last call or runs out; infinity without one."""
        heap = self._heap
        while heap:
            deadline_s, node_id = heap[0]
            suspicion = self._by_id.get(node_id)
            if suspicion is not None and suspicion.due_s == deadline_s:
                return deadline_s
            heapq.heappop(heap)
        return math.inf

    def _push(self, node_id: str) -> None:
        if len(self._heap) > 4 * len(self._by_id) + _HEAP_SLACK:
            self._heap = [(suspicion.due_s, key) for key, suspicion in self._by_id.items() if key != node_id]
            heapq.heapify(self._heap)
        suspicion = self._by_id[node_id]
        notice_s = self._config.probe_period_s
        if suspicion.called_at_s is None:
            suspicion.due_s = suspicion.deadline_s() - notice_s
        else:
            suspicion.due_s = max(suspicion.deadline_s(), suspicion.called_at_s + notice_s)
        heapq.heappush(self._heap, (suspicion.due_s, node_id))
