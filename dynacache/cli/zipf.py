"""Which key comes next: Zipf's law and its plain companion.

What: a `KeySampler` draws ranks 0 .. count-1. With an exponent above 0, rank r comes with probability proportional to
1 / (r + 1) ** exponent; with 0 every rank is equally likely.

Invariant: the sequence is a pure function of the `random.Random` handed in, so two systems under comparison are asked
for the same keys in the same order.

Why: real caches see a few hot keys and a long tail (Breslau et al., "Web Caching and Zipf-like Distributions", 1999,
found exponents of 0.64 to 0.83 at proxies; key-value stores show about 0.99). The cumulative weights are computed once
and searched by bisection, so a draw costs the logarithm of the number of keys.
"""

import itertools
import random

import attrs

__all__ = ["KeySampler"]


@attrs.define
class KeySampler:
    """Draws ranks below `count` by Zipf's law with the given exponent; 0 draws them uniformly."""

    count: int = attrs.field()
    exponent: float = attrs.field()
    _cumulative: list[float] = attrs.field(init=False, repr=False)

    @count.validator
    def _check_count(self, _: object, value: int) -> None:
        if value < 1:
            raise ValueError(f"number of keys: got {value}, expected at least 1")

    @exponent.validator
    def _check_exponent(self, _: object, value: float) -> None:
        if not 0 <= value <= 10:
            raise ValueError(f"zipf exponent: got {value}, expected a number between 0 and 10")

    def __attrs_post_init__(self) -> None:
        """Sum the weights once."""
        weights = ((rank + 1) ** -self.exponent for rank in range(self.count))
        self._cumulative = list(itertools.accumulate(weights))

    def draw(self, source: random.Random, many: int) -> list[int]:
        """Return `many` ranks."""
        if self.exponent == 0:
            below = source.random
            return [int(below() * self.count) for _ in range(many)]
        return source.choices(range(self.count), cum_weights=self._cumulative, k=many)
