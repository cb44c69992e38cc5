"""Planted bugs in namespaces with a replication factor of their own.

What: each mistakes the cluster's factor, or its partitions, for those of a namespace.

Invariant: as in ``bug``. A namespace of five copies in a cluster of three is where the two differ most.
"""

from collections.abc import Callable
from typing import Any

from pyroaring import BitMap

from dynacache.coordination import read, read_operation, routes, tally
from dynacache.namespaces.names import qualify
from dynacache.placement.placement import Placement
from dynacache.repair import transfer
from dynacache.types import Level

from ..options import FIRST_NAMESPACE
from ..run import Scenario
from .bug import Bug, Patch, Script
from .changes import QUICK

__all__ = ["BUGS"]

_CLUSTERS = 3
"""The replication factor of a cluster that says nothing else."""


def _by_the_cluster(original: Callable[[int, int], int]) -> Callable[[int, int], int]:
    def required(level: int, owner_count: int) -> int:
        return original(level, owner_count if level == Level.ALL else min(owner_count, _CLUSTERS))

    return required


def _only_the_clusters(original: Callable[..., BitMap]) -> Callable[..., BitMap]:
    def gained(before: Placement, after: Placement, *more: Any) -> BitMap:
        found = original(before, after, *more)
        return found & BitMap(range(after.partition_count))

    return gained


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


def _one_joins() -> Scenario:
    """A node takes over partitions of the one copy of a namespace, and is read."""
    script = Script.of(joiners=1, namespaces=1, first_factor=1, **QUICK | {"exchange_interval_s": 20.0})
    script.fault(2.0, "join", node="j1")
    for number in range(24):
        script.set(0.5 + number / 50, level=3, key=_key(number))
        for step in range(20):
            script.get(2.2 + number / 50 + step / 2, level=3, key=_key(number))
    return script.scenario(14.0)


def _has_five(scenario: Scenario) -> bool:
    return scenario.options.first_factor > _CLUSTERS


def _has_joiners(scenario: Scenario) -> bool:
    return bool(scenario.options.first_factor and any(fault.kind == "join" for fault in scenario.faults))


BUGS = (
    Bug(
        "quorums are the cluster's", "I9",
        "in a namespace of five copies two answers make a quorum, as in a cluster of three",
        tuple(Patch(module, "required_answers", _by_the_cluster) for module in (read, read_operation, routes, tally)),
        _two_of_five, _has_five,
    ),
    Bug(
        "only the cluster's partitions are filled", "I9",
        "a node that gains partitions of a namespace's own factor takes itself for complete there",
        (Patch(transfer, "gained", _only_the_clusters),), _one_joins, _has_joiners,
    ),
)  # fmt: skip
"""Bugs in replication factors of namespaces."""
