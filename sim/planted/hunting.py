"""The hunt for many bugs in many seeds, in chunks that any process can take.

What: ``Hunts`` hands out ``Chunk`` s (one bug, a few seeds) and takes in what came of each; ``search`` does one chunk;
``Caught`` is what is known about one bug.

Invariant: the seed that is told for a bug is the first that shows it, whatever the number of processes and the order in
which chunks end: a bug is closed only when all seeds before the one that showed it have been tried. A bug counts as
caught only when the invariant that it names is violated; whatever else is violated on the way does not count.

Why the bug with the fewest seeds is next: most show themselves within a few, and the rare ones are left for the end
with all processes to themselves.
"""

import gc
from collections.abc import Iterator, Sequence

import attrs

from ..checkers import CHECKERS
from ..run import Result, draw_scenario, run_scenario
from .bug import Bug, active

__all__ = ["CHUNK_SEEDS", "Caught", "Chunk", "Hunts", "Searched", "catches", "search"]

CHUNK_SEEDS = 8
"""Seeds of a chunk; few, because what others try beyond the first catch is wasted."""


@attrs.frozen
class Caught:
    """What it took to catch one bug."""

    name: str
    invariant: str
    directed: bool
    """Whether its directed scenario showed it."""
    seeds: int
    """Random seeds tried, up to the first that showed it."""
    seed: int | None
    """The first that showed it; None when none did."""
    broken: int = 0
    """Seeds in which the bug broke the simulator itself; they show nothing."""

    @property
    def found(self) -> str:
        """What the random seeds said, in words."""
        if not self.seeds:
            return "not tried"
        tried = f"rare: none in {self.seeds}" if self.seed is None else str(self.seeds)
        return f"{tried} ({self.broken} broken)" if self.broken else tried

    @property
    def row(self) -> tuple[str, str, str, str]:
        """The line of a table: name, invariant, directed, seeds."""
        return self.name, self.invariant, "caught" if self.directed else "missed", self.found


@attrs.frozen
class Chunk:
    """Seeds from ``first`` on to try one bug in; none stands for its directed scenario."""

    name: str
    first: int
    count: int


@attrs.frozen
class Searched:
    """What came of a chunk."""

    chunk: Chunk
    caught: bool
    tried: int
    """Seeds tried; the last of them showed the bug, if any did."""
    broken: int = 0


def catches(bug: Bug, result: Result) -> bool:
    """Return whether the invariant that the bug names was violated."""
    return any(violation.invariant == bug.invariant for violation in result.violations)


def search(bug: Bug, first: int, count: int) -> Searched:
    """Try seeds until one shows the bug; only the judge that must see it looks, nothing is kept.

    A seed that lacks what the bug needs is known not to show it and is not run.
    """
    judge = CHECKERS[bug.invariant]
    broken = tried = 0
    with active(bug):
        for tried, seed in enumerate(range(first, first + count), 1):
            gc.disable()  # a run makes few cycles; they are collected between runs
            try:
                scenario = draw_scenario(seed)
                if bug.needs is not None and not bug.needs(scenario):
                    continue
                result = run_scenario(scenario, judge=judge)
            except Exception:  # a bug may break what the simulator takes for granted, and that shows nothing
                broken += 1
                continue
            finally:
                gc.enable()
                gc.collect()
            if catches(bug, result):
                return Searched(Chunk(bug.name, first, count), True, tried, broken)
    return Searched(Chunk(bug.name, first, count), False, tried, broken)


@attrs.define
class _Hunt:
    """How far one bug has come."""

    bug: Bug
    following: int
    """The first seed that nobody has been given."""
    directed: bool | None = None
    ends: dict[int, Searched] = attrs.field(factory=dict)
    """By first seed of the chunk."""
    best: int | None = None
    """The first seed that showed the bug, so far."""
    told: bool = False


@attrs.define
class Hunts:
    """All bugs that are hunted in the seeds from ``first`` to ``first + limit - 1``."""

    bugs: Sequence[Bug]
    first: int
    limit: int
    _by_name: dict[str, _Hunt] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with all bugs open."""
        self._by_name = {bug.name: _Hunt(bug, self.first) for bug in self.bugs}

    def chunks(self) -> Iterator[Chunk]:
        """Yield directed scenarios, then seeds for whichever open bug has had the fewest; to be taken lazily."""
        for bug in self.bugs:
            yield Chunk(bug.name, 0, 0)
        end = self.first + self.limit
        while True:
            left = [hunt for hunt in self._by_name.values() if hunt.best is None and hunt.following < end]
            if not left:
                return
            hunt = min(left, key=lambda each: each.following)
            chunk = Chunk(hunt.bug.name, hunt.following, min(CHUNK_SEEDS, end - hunt.following))
            hunt.following += chunk.count
            yield chunk

    def take(self, searched: Searched) -> Caught | None:
        """Take in what came of a chunk; returns what is known about its bug when that is final, once."""
        hunt, chunk = self._by_name[searched.chunk.name], searched.chunk
        if not chunk.count:
            hunt.directed = searched.caught
        else:
            hunt.ends[chunk.first] = searched
            if searched.caught:
                seed = chunk.first + searched.tried - 1
                hunt.best = seed if hunt.best is None else min(hunt.best, seed)
        if hunt.told or hunt.directed is None or not self._is_final(hunt):
            return None
        hunt.told = True
        return self._caught(hunt)

    def known(self) -> list[Caught]:
        """Return what is known about every bug now, in the order given."""
        return [self._caught(hunt) for hunt in self._by_name.values()]

    def _is_final(self, hunt: _Hunt) -> bool:
        last = hunt.best if hunt.best is not None else self.first + self.limit - 1
        return self._tried_until(hunt) > last

    def _tried_until(self, hunt: _Hunt) -> int:
        """Return the first seed of which nothing is known: chunks end in any order."""
        seed = self.first
        while seed in hunt.ends:
            seed += hunt.ends[seed].tried if hunt.ends[seed].caught else hunt.ends[seed].chunk.count
            if hunt.best is not None and seed > hunt.best:
                break
        return seed

    def _caught(self, hunt: _Hunt) -> Caught:
        until = self._tried_until(hunt)
        seed = hunt.best if hunt.best is not None and until > hunt.best else None
        broken = sum(each.broken for first, each in hunt.ends.items() if first < until)
        return Caught(hunt.bug.name, hunt.bug.invariant, bool(hunt.directed), until - self.first, seed, broken)
