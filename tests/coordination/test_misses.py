"""The memory of reads that found nothing: the latest of a key, and bounded."""

from dynacache.coordination.misses import MISSES_LIMIT, MissMemory
from dynacache.types import Level, MissReason


def test_the_latest_miss_of_a_key_is_told() -> None:
    misses = MissMemory()
    misses.fresh.append((b"key", 1_000, Level.QUORUM, MissReason.NEVER_WRITTEN, "n1", "n2"))
    misses.fresh.append((b"key", 2_000, Level.ONE, MissReason.EVICTED, "n1", {"n1": "evicted", "n3": "silent"}))
    misses.fresh.append((b"other", 3_000, Level.QUORUM, MissReason.NEVER_WRITTEN, "n1", "n2"))
    assert misses.last(b"key") == {
        "at_ms": 2_000,
        "level": "one",
        "reason": "evicted",
        "answers": {"n1": "evicted", "n3": "silent"},
    }
    other = misses.last(b"other")
    assert other is not None
    assert other["answers"] == {"n1": "absent", "n2": "absent"}
    assert misses.last(b"never read") is None


def test_it_keeps_a_named_number() -> None:
    misses = MissMemory()
    for number in range(MISSES_LIMIT + 5):
        misses.fresh.append((b"%d" % number, number, Level.ONE, MissReason.NEVER_WRITTEN, "n1", "n2"))
    assert misses.last(b"4") is not None
    assert len(misses.settle()) == MISSES_LIMIT + 5
    assert misses.settle() == []
    assert len(misses.latest) == MISSES_LIMIT
    assert misses.last(b"4") is None
    assert misses.last(b"5") is not None
