"""Whether this machine's wall clock can be trusted: it is compared with the peers' clocks, and with its own past.

What: ``ClockWatch`` says whom to ask for the time, takes the answers and judges. Asked are a few peers each second in
turn, over the stream, since datagrams with a stamp too far off are refused unread. An answer bounds a peer's clock to
within half of its round trip; of the last few answers the quickest counts (as in NTP's clock filter), unless a later
one contradicts it, for then that peer's clock was moved.

Invariant: samples are kept against our *monotonic* clock, so a move of our own wall clock shows in the very call that
first sees it, before anything else has seen it. After such a move no old sample counts, since all machines may have
moved together (resumed from suspension): the clock is ``UNSURE`` until more than half of the linked peers have answered
anew, or a second has passed; then those who have answered decide, few as they are, and without any answer the move is
believed. It is ``UNSAFE`` while more than half of the linked peers certainly differ by more than the allowed skew, or
more than half of those few did, and stays so until most of the linked have agreed again; without any peer to ask
nothing changes.

A clock that is set back while nobody answers cannot be told from one that is corrected. Time then goes on from where it
was (``lead_ms``) until a peer has answered: stood it still until the wall clock has caught up, whatever this node
alone holds would live longer than was promised. A clock that is set forward then is believed, as after a suspension
what has ended must not live on; but it is remembered (``doubtful``) until a peer has answered.

Why majority of the reachable: a wrong clock must be found by the machine that has it, and two that disagree cannot know
which is wrong, so in a pair both stop (DESIGN section 7; RFC 5905 section 10 for the filter).
"""

import enum
from collections import deque
from collections.abc import Sequence

import attrs

from dynacache.types import Instant, NodeId

__all__ = ["PEERS_PER_ROUND", "ROUND_S", "SAMPLES_LIMIT", "ClockWatch", "Trust"]

ROUND_S = 1.0
"""Seconds between two rounds of questions."""

PEERS_PER_ROUND = 8
"""Peers asked in one round, so that a large cluster does not spend itself on it."""

SAMPLES_LIMIT = 4
"""Answers of each peer that are kept."""

_SAMPLE_LIFE_S = 60.0
_ROUND_TRIP_LIMIT_S = 2.0
_UNSURE_LIMIT_S = 1.0


class Trust(enum.Enum):
    """What is held of this machine's clock."""

    SAFE = "safe"
    UNSURE = "unsure"
    UNSAFE = "unsafe"


@attrs.frozen
class _Sample:
    """One answer: the peer's wall clock less our monotonic clock, within ``error_ms`` either way."""

    base_ms: float
    error_ms: float
    at_s: float


@attrs.define(eq=False)
class ClockWatch:
    """Judges one machine's clock. ``offset_ms``: its wall clock less its monotonic one, when last looked at."""

    max_skew_ms: int
    offset_ms: float
    trust: Trust = Trust.SAFE
    next_round_s: float = 0.0
    lead_ms: float = 0.0
    """By how much this node's time goes ahead of its wall clock, since that was set back and no peer has answered."""
    doubtful: bool = False
    """Whether a move ahead was believed without any answer, and none has come since."""
    _moved_ms: float = 0.0
    """By how much the wall clock has moved since it became ``UNSURE``."""
    _samples: dict[NodeId, deque[_Sample]] = attrs.field(factory=dict)
    _asked: dict[int, tuple[NodeId, float]] = attrs.field(factory=dict)
    _sequence: int = 0
    _place: int = 0
    _unsure_until_s: float = 0.0

    @classmethod
    def starting(cls, max_skew_ms: int, now: Instant) -> "ClockWatch":
        """Return a watch that trusts the clock until it learns otherwise."""
        return cls(max_skew_ms, now.wall_ms - now.monotonic_s * 1000)

    def moved(self, now: Instant) -> bool:
        """Take note of where the wall clock stands; True when it jumped by more than the allowed skew."""
        before, self.offset_ms = self.offset_ms, now.wall_ms - now.monotonic_s * 1000
        if abs(self.offset_ms - before) <= self.max_skew_ms:
            return False
        self._moved_ms += self.offset_ms - before
        self._samples.clear()
        self._asked.clear()
        self.next_round_s = now.monotonic_s
        self._unsure_until_s = now.monotonic_s + _UNSURE_LIMIT_S
        if self.trust is Trust.SAFE:
            self.trust = Trust.UNSURE
        return True

    def questions(self, now: Instant, linked: Sequence[NodeId]) -> list[tuple[NodeId, int]]:
        """Return the peers to ask now, each with the number that its answer must carry."""
        if now.monotonic_s < self.next_round_s:
            return []
        self.next_round_s = now.monotonic_s + ROUND_S
        too_old_s = now.monotonic_s - _ROUND_TRIP_LIMIT_S
        self._asked = {number: asked for number, asked in self._asked.items() if asked[1] > too_old_s}
        chosen = [linked[(self._place + step) % len(linked)] for step in range(min(len(linked), PEERS_PER_ROUND))]
        self._place += len(chosen)
        questions = []
        for node_id in chosen:
            self._sequence += 1
            self._asked[self._sequence] = node_id, now.monotonic_s
            questions.append((node_id, self._sequence))
        return questions

    def answered(self, node_id: NodeId, sequence: int, wall_ms: int, now: Instant) -> None:
        """Take a peer's time; an answer that was not asked for, or came too late, is dropped."""
        asked = self._asked.pop(sequence, None)
        if asked is None or asked[0] != node_id or now.monotonic_s - asked[1] > _ROUND_TRIP_LIMIT_S:
            return
        middle_s = (asked[1] + now.monotonic_s) / 2
        sample = _Sample(wall_ms - middle_s * 1000, (now.monotonic_s - asked[1]) * 500, now.monotonic_s)
        kept = self._samples.setdefault(node_id, deque(maxlen=SAMPLES_LIMIT))
        if any(abs(each.base_ms - sample.base_ms) > each.error_ms + sample.error_ms + 1 for each in kept):
            kept.clear()
        kept.append(sample)

    def judge(self, now: Instant, linked: Sequence[NodeId]) -> Trust:
        """Return what is held of the clock now; ``linked`` are the peers that can be asked."""
        differences = self.differences_ms(now, linked)
        wrong = len(self.skewed(differences))
        enough = 2 * len(differences) > len(linked)
        waited = self.trust is Trust.UNSURE and (not linked or now.monotonic_s >= self._unsure_until_s)
        if 2 * wrong > (len(differences) if waited else len(linked)):
            self.trust = Trust.UNSAFE
        elif enough or waited:
            self.trust = Trust.SAFE
        self._go_on(alone=not differences)
        for node_id in [node_id for node_id in self._samples if node_id not in linked]:
            del self._samples[node_id]
        return self.trust

    def _go_on(self, alone: bool) -> None:
        """Decide what a move that is believed means for this node's own time."""
        if not alone:
            self.lead_ms = 0.0
        elif self.trust is Trust.SAFE:
            self.lead_ms = max(0.0, self.lead_ms - self._moved_ms)
            self.doubtful = self.doubtful or self._moved_ms > 0
        if self.trust is not Trust.UNSURE:
            self._moved_ms = 0.0

    def differences_ms(self, now: Instant, linked: Sequence[NodeId]) -> dict[NodeId, tuple[float, float]]:
        """Return by how much each peer's clock is ahead of ours, and within what error."""
        oldest_s = now.monotonic_s - _SAMPLE_LIFE_S
        found = {}
        for node_id in linked:
            fresh = [sample for sample in self._samples.get(node_id, ()) if sample.at_s >= oldest_s]
            if fresh:
                best = min(fresh, key=lambda sample: sample.error_ms)
                found[node_id] = best.base_ms - self.offset_ms, best.error_ms
        return found

    def skewed(self, differences_ms: dict[NodeId, tuple[float, float]]) -> list[NodeId]:
        """Return the peers that certainly differ by more than the allowed skew."""
        return [node_id for node_id, (ahead, error) in differences_ms.items() if abs(ahead) - error > self.max_skew_ms]

    def agreed_ms(self, now: Instant, linked: Sequence[NodeId]) -> float | None:
        """Return what the peers' clocks show, in their middle; None when none is known."""
        ahead = sorted(ahead for ahead, _ in self.differences_ms(now, linked).values())
        return now.wall_ms + ahead[len(ahead) // 2] if ahead else None
