"""Randomness by name and number: every draw is a function of the seed, its labels and its counter.

What: ``Draws`` belongs to a run. ``stream(label, ...)`` is a sequence of draws of its own: the n-th draw of a stream
depends on the seed, the labels and n, and on nothing else that happened in the run.

Invariant: no draw disturbs another stream. Removing one operation, or one fault, leaves every other message its delay.

Why not one shared generator: while a failure is shrunk, every removal would reshuffle all that follows, and the failure
would be gone (brief R9.5). Why blake2b: it does not depend on the process (``hash`` of text does), and one call yields
eight draws.
"""

import random
from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct
from typing import Any, TypeVar

import attrs

__all__ = ["Draws", "Stream"]

_T = TypeVar("_T")
_unpack = Struct(">8Q").unpack
_SCALE = 1.0 / (1 << 53)


@attrs.define(eq=False, repr=False)
class Stream:
    """One named sequence of draws."""

    _hash: Any
    _block: int = 0
    _numbers: list[int] = attrs.field(factory=list)

    def bits(self) -> int:
        """Return 64 random bits."""
        numbers = self._numbers
        if not numbers:
            following = self._hash.copy()
            following.update(self._block.to_bytes(8, "big"))
            self._block += 1
            self._numbers = numbers = list(_unpack(following.digest()))
        return numbers.pop()

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a number of [low, high)."""
        return low + (high - low) * ((self.bits() >> 11) * _SCALE)

    def integer(self, low: int, high: int) -> int:
        """Return a whole number of [low, high], both included."""
        return low + self.bits() % (high - low + 1)

    def chance(self, probability: float) -> bool:
        """Return True with this probability; a probability of 0 draws nothing."""
        return probability > 0 and self.uniform() < probability

    def choice(self, options: Sequence[_T]) -> _T:
        """Return one of the options."""
        return options[self.bits() % len(options)]

    def weighted(self, weights: Sequence[tuple[_T, float]]) -> _T:
        """Return one of the first members, as often as the second ones say."""
        left = self.uniform() * sum(weight for _, weight in weights)
        for option, weight in weights:
            left -= weight
            if left < 0:
                return option
        return weights[-1][0]

    def sample(self, options: Sequence[_T], count: int) -> list[_T]:
        """Return this many different members, in random order."""
        left = list(options)
        return [left.pop(self.bits() % len(left)) for _ in range(min(count, len(left)))]


@attrs.define(eq=False, repr=False)
class Draws:
    """All randomness of one run."""

    seed: int
    _root: Any = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Key the root by the seed."""
        self._root = blake2b(repr(self.seed).encode())

    def stream(self, *labels: str | int) -> Stream:
        """Return the stream of these labels, from its beginning."""
        hashed = self._root.copy()
        hashed.update(repr(labels).encode())
        return Stream(hashed)

    def random(self, *labels: str | int) -> random.Random:
        """Return a generator for code that wants one of the standard library, keyed by these labels."""
        return random.Random(self.stream(*labels).bits())
