"""How stale a read may be, by level: probabilistically bounded staleness, computed by drawing.

What: ``simulate`` draws the four legs of many pairs of one write and one later read (W to a replica, A its
acknowledgement, R the question, S the answer: Bailis et al., VLDB 2012) and keeps of each pair one number, the
*window*: how long after its acknowledgement the write would still have been missed by that read. All else follows: a
read that starts ``t`` after the acknowledgement is stale exactly when ``t`` is below the window, and then what it
returns had been out of date for ``t``.

Ways to read:

- ``owner``: ours. The coordinator is an owner, has the write at once and counts itself; the read goes through any of
  the owners, which answers from its own copy and asks r - 1 others.
- ``outside``: the model of the paper, and of stores whose coordinators own nothing: all replicas are asked and the
  first r answers count.

By default a client of ours reads where it wrote, through the first owner, and misses nothing that owner acknowledged;
``owner`` is what remains when that owner is avoided, or when the client allows stale reads.

Invariants: r + w > n gives no window. The same seed gives the same figures; all levels see the same draws, so they
differ by level and not by luck.

Not in the model: failures (with stand-ins r + w > n promises less), hints, read repair, and clocks that decide between
concurrent writes.
"""

import math
from collections.abc import Sequence

import attrs

from .draws import Draws, Stream

__all__ = ["WAYS", "Curve", "Latency", "Windows", "curve", "simulate"]

WAYS = ("owner", "outside")


@attrs.frozen
class Latency:
    """One leg: exponential, with a share of slow ones. Raises ValueError for what is no distribution."""

    mean_ms: float = 0.6
    tail_share: float = 0.05
    tail_mean_ms: float = 8.0

    def __attrs_post_init__(self) -> None:
        for name in ("mean_ms", "tail_mean_ms"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected above 0")
        if not 0 <= self.tail_share <= 1:
            raise ValueError(f"tail_share: got {self.tail_share}, expected 0 to 1")

    def draw_ms(self, draws: Stream) -> float:
        """Return one leg."""
        is_slow = draws.uniform() < self.tail_share
        return -math.log(1.0 - draws.uniform()) * (self.tail_mean_ms if is_slow else self.mean_ms)


@attrs.frozen
class Windows:
    """The windows of all pairs, in ms, ascending; 0 where the read sees the write from its acknowledgement on."""

    n: int
    r: int
    w: int
    way: str
    windows_ms: tuple[float, ...]

    def stale_at(self, after_ms: float) -> float:
        """Return the share of reads that are stale when they start so long after the acknowledgement."""
        return sum(window > after_ms for window in self.windows_ms) / len(self.windows_ms)

    def fresh_after_ms(self, share: float) -> float:
        """Return how long after an acknowledgement this share of reads see the write."""
        return self.windows_ms[max(0, math.ceil(share * len(self.windows_ms)) - 1)]

    def stale_share(self, writes_per_s: float) -> float:
        """Return the share of stale reads of a key that is written at random so often, and read at random."""
        return sum(_missed(window, writes_per_s) for window in self.windows_ms) / len(self.windows_ms)

    def age_ms(self, share: float, writes_per_s: float) -> float:
        """Return what this share of stale reads do not exceed: for how long their value had been out of date; 0 if
        none is stale."""
        windows = [window for window in self.windows_ms if window > 0]
        total = sum(_missed(window, writes_per_s) for window in windows)
        if not total:
            return 0.0
        low, high = 0.0, windows[-1]
        for _ in range(40):
            middle = (low + high) / 2
            below = sum(_missed(min(window, middle), writes_per_s) for window in windows)
            low, high = (middle, high) if below < share * total else (low, middle)
        return high


@attrs.frozen
class Curve:
    """One level as a row of the table."""

    n: int
    r: int
    w: int
    way: str
    stale_at: tuple[float, ...]
    """By the moments asked for."""
    fresh_999_ms: float
    """So long after an acknowledgement 99.9 % of reads see the write."""
    stale_share: float
    age_p50_ms: float
    age_p99_ms: float


def simulate(
    n: int,
    pairs: Sequence[tuple[int, int]],
    latency: Latency,
    *,
    way: str = "owner",
    seed: int = 1,
    trials: int = 20_000,
) -> list[Windows]:
    """Return the windows of each (r, w); raises ValueError, naming it, for anything out of range."""
    _check(n, pairs, way, trials)
    draws = Draws(seed).stream("legs", n)
    found: list[list[float]] = [[] for _ in pairs]
    for _ in range(trials):
        trial = _Trial.draw(n, latency, draws, way)
        for windows, (r, w) in zip(found, pairs, strict=True):
            windows.append(trial.window_ms(r, w))
    return [Windows(n, r, w, way, tuple(sorted(windows))) for windows, (r, w) in zip(found, pairs, strict=True)]


def curve(windows: Windows, moments_ms: Sequence[float], writes_per_s: float) -> Curve:
    """Return the row of one level."""
    return Curve(
        n=windows.n,
        r=windows.r,
        w=windows.w,
        way=windows.way,
        stale_at=tuple(windows.stale_at(moment) for moment in moments_ms),
        fresh_999_ms=windows.fresh_after_ms(0.999),
        stale_share=windows.stale_share(writes_per_s),
        age_p50_ms=windows.age_ms(0.5, writes_per_s),
        age_p99_ms=windows.age_ms(0.99, writes_per_s),
    )


@attrs.frozen
class _Trial:
    """One write and one read: by replica, when it has the write, when it acknowledged, when it is asked; and the order
    in which replicas answer the read."""

    has_ms: list[float]
    acknowledged_ms: list[float]
    asked_ms: list[float]
    order: list[int]

    @classmethod
    def draw(cls, n: int, latency: Latency, draws: Stream, way: str) -> "_Trial":
        has = [latency.draw_ms(draws) for _ in range(n)]
        acknowledged = [each + latency.draw_ms(draws) for each in has]
        asked = [latency.draw_ms(draws) for _ in range(n)]
        answered = [each + latency.draw_ms(draws) for each in asked]
        if way == "outside":
            return cls(has, acknowledged, asked, sorted(range(n), key=answered.__getitem__))
        has[0] = acknowledged[0] = 0.0
        order = draws.sample(range(n), n)
        asked[order[0]] = 0.0
        return cls(has, acknowledged, asked, order)

    def window_ms(self, r: int, w: int) -> float:
        """Return how long after the acknowledgement by w the read of r would miss the write."""
        written_ms = sorted(self.acknowledged_ms)[w - 1]
        return max(0.0, min(self.has_ms[each] - self.asked_ms[each] for each in self.order[:r]) - written_ms)


def _missed(window_ms: float, writes_per_s: float) -> float:
    """Return the share of moments since the last write that lie within the window, writes being a Poisson process."""
    return -math.expm1(-writes_per_s * window_ms / 1000)


def _check(n: int, pairs: Sequence[tuple[int, int]], way: str, trials: int) -> None:
    if not 1 <= n <= 9:
        raise ValueError(f"n: got {n}, expected 1 to 9")
    for r, w in pairs:
        for name, value in (("r", r), ("w", w)):
            if not 1 <= value <= n:
                raise ValueError(f"{name}: got {value}, expected 1 to n = {n}")
    if way not in WAYS:
        raise ValueError(f"way: got {way!r}, expected {' or '.join(WAYS)}")
    if trials < 100:
        raise ValueError(f"trials: got {trials}, expected at least 100")
