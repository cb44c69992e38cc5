"""Planted bugs in namespaces with a replication factor of their own.

What: each mistakes the cluster's factor for that of a namespace.

Invariant: as in ``bug``. A namespace of five copies in a cluster of three is where the two differ most.
"""

from collections.abc import Callable

from dynacache.coordination import read, read_operation, routes, tally
from dynacache.namespaces.names import qualify
from dynacache.types import Level

from ..options import FIRST_NAMESPACE
from ..run import Scenario
from .bug import Bug, Patch, Script

__all__ = ["BUGS"]

_CLUSTERS = 3
"""The replication factor of a cluster that says nothing else."""


def _by_the_cluster(original: Callable[[int, int], int]) -> Callable[[int, int], int]:
    def required(level: int, owner_count: int) -> int:
        return original(level, owner_count if level == Level.ALL else min(owner_count, _CLUSTERS))

    return required


def _key(number: int) -> bytes:
    return qualify(FIRST_NAMESPACE, b"k%d" % number)


def _two_of_five() -> Scenario:
    """Two of five owners are cut off with a client that writes; another client reads from the others."""
    script = Script.of(nodes=5, namespaces=1, first_factor=5, client_timeout_s=2.0)
    some, others = ["n1", "n2"], ["n3", "n4", "n5"]
    script.set(0.5, key=_key(0), level=3)
    script.part(1.0, 9.0, some)
    script.hide(1.0, 9.0, 0, others)
    script.hide(1.0, 9.0, 1, some)
    for step in range(4):
        script.set(3.0 + step, key=_key(0), level=3, client=0)
        script.get(3.5 + step, key=_key(0), level=3, client=1)
    return script.scenario(12.0)


def _has_five(scenario: Scenario) -> bool:
    return scenario.options.first_factor > _CLUSTERS


BUGS = (
    Bug(
        "quorums are the cluster's", "I9",
        "in a namespace of five copies two answers make a quorum, as in a cluster of three",
        tuple(Patch(module, "required_answers", _by_the_cluster) for module in (read, read_operation, routes, tally)),
        _two_of_five, _has_five,
    ),
)  # fmt: skip
"""Bugs in replication factors of namespaces."""
