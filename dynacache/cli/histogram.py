"""Latencies in a fixed number of counters.

What: a `Histogram` counts durations in buckets whose borders grow by 2.2 % each, from a microsecond to about three
minutes; two of them can be added, and the later one of a pair reduced by the earlier.

Invariant: bounded memory however long a run lasts; a percentile is at most one bucket (2.2 %) above the true value.

Why: the demo may run for hours, and its live table wants the percentiles of the last second, which is the difference of
two snapshots. The idea of fixed relative precision is that of HdrHistogram.
"""

import math

import attrs

__all__ = ["Histogram"]

_SMALLEST_S = 1e-6
_GROWTH = 1.022
_BUCKETS = 870
_PER_LOG = 1 / math.log(_GROWTH)


@attrs.define
class Histogram:
    """Counts of durations by size."""

    counts: list[int] = attrs.field(factory=lambda: [0] * _BUCKETS)

    def record(self, seconds: float) -> None:
        """Count one duration."""
        bucket = int(math.log(seconds / _SMALLEST_S) * _PER_LOG) + 1 if seconds > _SMALLEST_S else 0
        self.counts[bucket if bucket < _BUCKETS else _BUCKETS - 1] += 1

    @property
    def count(self) -> int:
        """Durations counted."""
        return sum(self.counts)

    def plus(self, other: "Histogram") -> "Histogram":
        """Both together."""
        return Histogram([mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)])

    def since(self, earlier: "Histogram") -> "Histogram":
        """What has come after an earlier snapshot of the same histogram."""
        return Histogram([now - then for now, then in zip(self.counts, earlier.counts, strict=True)])

    def percentile_ms(self, share: float) -> float:
        """Milliseconds that `share` of the durations did not exceed; 0 where nothing was counted."""
        left = math.ceil(share * self.count)
        if left <= 0:
            return 0.0
        for bucket, count in enumerate(self.counts):
            left -= count
            if left <= 0:
                return _SMALLEST_S * _GROWTH**bucket * 1000
        raise AssertionError("percentile beyond the total")
