"""A rate in bytes a second: a bucket of tokens that fills with time.

What: whoever moves bytes takes as many tokens first, gives back what it did not need, and pays the rest later.

Invariant: over any span of time at most ``rate_per_s`` times the span, one bucket (a tenth of a second's worth, at
least 32 KiB) and one item larger than the bucket are taken.

Why the bucket may go below zero: the size of a page is known when it has come. A single value larger than the bucket
then delays what follows instead of never being sent.
"""

import attrs

__all__ = ["TokenBucket"]

_BURST_S = 0.1
_LEAST_BYTES = 32_768
"""What the bucket holds at least, however small the rate is: room for a small page of small records."""


@attrs.define
class TokenBucket:
    """``rate_per_s`` may be changed at any time; ``share`` (0 to 1) is the part of it that is used at present."""

    rate_per_s: float
    share: float = 1.0
    _level: float = attrs.field(init=False)
    _filled_s: float = attrs.field(init=False, default=float("-inf"))

    def __attrs_post_init__(self) -> None:
        """Start full."""
        self._level = self._capacity()

    def available(self, now_s: float) -> int:
        """Return how many bytes may be taken now, at most the bucket's content, 0 when it is in debt."""
        if now_s > self._filled_s:
            elapsed_s = min(now_s - self._filled_s, 3_600.0)
            self._level = min(self._capacity(), self._level + elapsed_s * self.rate_per_s * self.share)
            self._filled_s = now_s
        return max(0, int(self._level))

    def take(self, count_bytes: int) -> None:
        """Take tokens; a negative count gives some back. May leave a debt."""
        self._level = min(self._capacity(), self._level - count_bytes)

    def wait_s(self, count_bytes: int) -> float:
        """Return the seconds until ``count_bytes`` (at most what the bucket holds) are available."""
        missing = min(count_bytes, self._capacity()) - self._level
        return max(0.0, missing / (self.rate_per_s * self.share))

    def _capacity(self) -> float:
        return max(_LEAST_BYTES, self.rate_per_s * _BURST_S)
