"""The catalogue of planted bugs.

What: ``BUGS`` lists them by name. ``directed`` runs a bug's own scenario, ``hunt`` also random seeds until one of them
shows it; ``searched`` does one chunk of a larger hunt.

Invariant: a bug counts as caught only when the invariant that it names is violated; whatever else is violated on the
way does not count.

Why both: the directed scenario proves the judge, the seeds prove that the draw of scenarios reaches such a place.
"""

from collections.abc import Mapping
from typing import Final

from ..run import Result, run_scenario
from . import changes, factors, healing, invalidation, membership, namespaces, replication, rules, storage, versions
from .bug import Bug, active
from .hunting import Caught, Chunk, Hunts, Searched, catches, search

__all__ = ["BUGS", "directed", "hunt", "searched"]

BUGS: Final[Mapping[str, Bug]] = {
    bug.name: bug
    for bug in (
        *versions.BUGS,
        *replication.BUGS,
        *storage.BUGS,
        *membership.BUGS,
        *healing.BUGS,
        *changes.BUGS,
        *factors.BUGS,
        *rules.BUGS,
        *invalidation.BUGS,
        *namespaces.BUGS,
    )
}
"""Every planted bug, by name."""


def directed(bug: Bug, *, planted: bool = True) -> Result:
    """Run a bug's own scenario, with the bug or without it."""
    with active(bug if planted else None):
        return run_scenario(bug.scenario(), keep=True)


def searched(chunk: Chunk) -> Searched:
    """Do one chunk: some seeds, or (none) the directed scenario."""
    bug = BUGS[chunk.name]
    if not chunk.count:
        return Searched(chunk, catches(bug, directed(bug)), 0)
    return search(bug, chunk.first, chunk.count)


def hunt(bug: Bug, first: int = 1, limit: int = 0) -> Caught:
    """Run the directed scenario, then up to ``limit`` random seeds until one shows the bug."""
    hunts = Hunts([bug], first, limit)
    for chunk in hunts.chunks():
        hunts.take(searched(chunk))
    return hunts.known()[0]
