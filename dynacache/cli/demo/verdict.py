"""The verdict: is every acknowledged write, or one that may rightly stand in its place, still readable?

What: `judge` takes the writers' journals and one reading of each key that has an acknowledged write, and counts the
acknowledged writes that are lost.

Rules. Each reading shows the winner and its siblings, every one of them stamped with the write that made it.

- A write is kept when a value is readable that is it, or that comes from a write which did not end before this one
  began: such a write is its causal successor, or was concurrent with it and won.
- It is lost when everything readable comes from writes that had ended before it began, when nothing is readable, or
  when the reading failed: it was read once, and that was the answer.
- A write of unknown fate may be applied at any time after it began, so it never counts as "ended before".
- A key that reads as evicted is memory pressure and no loss; it is counted apart.

Invariant: real time is enough to judge. A write that began after another was acknowledged must supersede or beat it; a
cluster that shows the older one alone has lost the newer.

Why siblings count: of two writes within the same millisecond at two coordinators the earlier may win by clock; the
other is then kept beside it until a reader resolves the two, and nothing is lost.
"""

from collections.abc import Iterable, Mapping, Sequence

import attrs

from dynacache.cli.demo.journal import Journal, Stamp, Write

__all__ = ["Reading", "Verdict", "acknowledged_keys", "judge"]

_EXAMPLES_LIMIT = 10


@attrs.frozen
class Reading:
    """What one read of a key at `quorum` showed."""

    stamps: tuple[Stamp, ...] = ()
    """The winner and its siblings."""
    foreign: bool = False
    """A value that no writer of this run made, or made for another key."""
    evicted: bool = False
    error: str = ""
    """Why the read failed, or the reason of the miss."""


@attrs.frozen
class Verdict:
    """What became of the acknowledged writes."""

    acknowledged_writes: int
    keys_read: int
    lost_acknowledged_writes: int
    evicted_keys: int
    foreign_values: int
    refused_but_applied: int
    """Values readable although the cluster had said that nothing was changed."""
    examples: tuple[str, ...]
    """A sentence each for the first few losses."""


@attrs.define
class _Counts:
    acknowledged: int = 0
    lost: int = 0
    evicted: int = 0
    foreign: int = 0
    contradicted: int = 0
    examples: list[str] = attrs.field(factory=list)


def acknowledged_keys(journals: Sequence[Journal]) -> list[int]:
    """Positions of the keys that have at least one acknowledged write, ascending."""
    return sorted(position for position, writes in _by_key(journals).items() if any(w.acknowledged for w in writes))


def judge(journals: Sequence[Journal], keys: Sequence[bytes], readings: Mapping[int, Reading]) -> Verdict:
    """Compare what was acknowledged with what was read; `readings` is by position in `keys`.

    A key with an acknowledged write that was not read at all counts as unreadable.
    """
    counts = _Counts()
    for position, writes in sorted(_by_key(journals).items()):
        acknowledged = [write for write in writes if write.acknowledged]
        if acknowledged:
            reading = readings.get(position, Reading(error="never read"))
            _judge_key(keys[position], acknowledged, reading, journals, counts)
    return Verdict(
        acknowledged_writes=counts.acknowledged,
        keys_read=len(readings),
        lost_acknowledged_writes=counts.lost,
        evicted_keys=counts.evicted,
        foreign_values=counts.foreign,
        refused_but_applied=counts.contradicted,
        examples=tuple(counts.examples),
    )


def _by_key(journals: Iterable[Journal]) -> dict[int, list[Write]]:
    writes: dict[int, list[Write]] = {}
    for journal in journals:
        for sequence, position in enumerate(journal.key_positions):
            writes.setdefault(position, []).append(journal.write(sequence))
    return writes


def _judge_key(
    key: bytes, acknowledged: list[Write], reading: Reading, journals: Sequence[Journal], counts: _Counts
) -> None:
    counts.acknowledged += len(acknowledged)
    if reading.evicted:
        counts.evicted += 1
        return
    found = [_written(stamp, key, journals) for stamp in reading.stamps]
    known = [write for write in found if write is not None]
    counts.foreign += len(found) - len(known) + reading.foreign
    counts.contradicted += sum(write.refused for write in known)
    # `<` is false against not-a-number and infinity: a refused or unknown write that shows may have come at any time.
    lost = [write for write in acknowledged if all(other.ended_at < write.began_at for other in known)]
    counts.lost += len(lost)
    if lost and len(counts.examples) < _EXAMPLES_LIMIT:
        shown = reading.error or ", ".join(f"writer {w.writer} write {w.sequence}" for w in known) or "a foreign value"
        last = lost[-1]
        counts.examples.append(
            f"{key!r}: {len(lost)} lost, last by writer {last.writer} write {last.sequence}; {shown}"
        )


def _written(stamp: Stamp, key: bytes, journals: Sequence[Journal]) -> Write | None:
    if stamp.key != key or stamp.writer >= len(journals):
        return None
    journal = journals[stamp.writer]
    return journal.write(stamp.sequence) if stamp.sequence < len(journal.began) else None
