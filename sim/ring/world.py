"""The world of the ring model: messages that are late, lost or cut off, and what there is to be seen of a run.

What: a heap of things to do, five nodes, three coordinators with member tables of their own, and who is on which side
of a cut.

Invariant: everything is drawn from one generator, in an order that depends on nothing else: one seed, one run.

Why so little: a model is for rules, and every detail more is one that may hide a rule that is missing.
"""

import heapq
import random
from collections.abc import Callable
from typing import Any

import attrs

from dynacache.placement.table import MemberState

from .table import NODES, Entry, View, first_view, write_sets

__all__ = ["FAULT_END", "OPERATION_TIMEOUT", "READ_END", "WRITE_END", "Node", "World", "owners_of"]

WRITE_END = 150.0
READ_END = 170.0
FAULT_END = 130.0
OPERATION_TIMEOUT = 25.0


def owners_of(view: View) -> frozenset[str]:
    """Return whoever is an owner in any of the three sets."""
    return frozenset[str]().union(*write_sets(view))


@attrs.define(eq=False)
class Node:
    """One node: ``claims`` are those that confirmed our table while it named no other transition; ``confirmed`` those
    that confirmed our own state; ``removals`` those that confirmed that another is being removed, by name."""

    name: str
    view: View
    up: bool = True
    warming: bool = False
    data: set[int] = attrs.field(factory=set)
    sources: dict[str, bool] = attrs.field(factory=dict)
    claims: set[str] = attrs.field(factory=set)
    confirmed: set[str] = attrs.field(factory=set)
    complete: set[str] = attrs.field(factory=set)
    removals: dict[str, set[str]] = attrs.field(factory=dict)
    handed: set[str] = attrs.field(factory=set)
    wants: MemberState | None = None
    is_writing: bool = False

    @property
    def entry(self) -> Entry:
        """Its own entry, as it knows it."""
        return self.view[NODES.index(self.name)]


class World:
    """What one run consists of."""

    def __init__(self, seed: int, mutation: str) -> None:
        self.random = random.Random(seed)
        self.mutation = mutation
        self.now = 0.0
        self.queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.count = 0
        self.loss = self.random.choice([0.0, 0.05, 0.2])
        self.nodes = {name: Node(name, first_view()) for name in NODES}
        self.coordinators = [first_view()] * 3
        self.side: dict[str | int, int] = {}
        self.acknowledged: dict[int, float] = {}
        self.stale_reads = 0
        self.reads = 0
        self.changes: list[str] = []
        self.budget = 1
        """Nodes that may lose their memory, or be removed alive, in this run: W - 1."""
        self.ambush = self.random.choice([0.0, 0.1, 0.5])
        """How often a change of a node's place is followed by a cut at once."""
        self.gossip = self.random.choice([1.0, 1.0, 0.0])
        """How often a node gossips when it could; without gossip tables travel with requests alone."""

    def at(self, delay: float, act: Callable[..., None], *arguments: Any) -> None:
        """Do something later."""
        self.count += 1
        heapq.heappush(self.queue, (self.now + delay, self.count, act, arguments))

    def send(self, source: str | int, target: str | int, act: Callable[..., None], *arguments: Any) -> None:
        """Let a message travel, if it is not lost and the two are on one side when it arrives."""
        if self.random.random() < self.loss:
            return
        delay = self.random.expovariate(1) * (15 if self.random.random() < 0.08 else 1)

        def arrive() -> None:
            if self.together(source, target):
                act(*arguments)

        self.at(delay, arrive)

    def together(self, one: str | int, other: str | int) -> bool:
        """Tell whether two are on one side."""
        return self.side.get(one) == self.side.get(other)

    def play(self, end: float) -> None:
        """Let everything happen in its order until ``end``."""
        while self.queue and self.queue[0][0] < end:
            self.now, _, act, arguments = heapq.heappop(self.queue)
            act(*arguments)

    def disturb(self) -> None:
        """Do harm, now that a change has begun: for a run to say how."""
