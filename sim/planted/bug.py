"""A planted bug: a fault in the product that can be switched on, the invariant that must catch it, and where it shows.

What: ``Bug`` replaces one method or function of the product (rarely two that belong together) while ``active``; its
``scenario`` is directed: written so that the bug must show. ``Script`` writes such scenarios.

Invariant: outside ``active`` the product is untouched, whatever happened inside. The same scenario without the bug
holds, so that it is the bug that is caught and not the scenario.

Why: a judge that was never seen red proves nothing (DESIGN section 11).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import Any

import attrs

from dynacache.placement.partitions import key_hash
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberEntry, MemberState, MemberTable

from ..faults.draw import node_names
from ..faults.schedule import Fault
from ..history import OperationKind
from ..options import Options
from ..run import Scenario
from ..workload import Operation

__all__ = ["Bug", "Patch", "Script", "active"]


@attrs.frozen
class Patch:
    """``wrap`` takes the original attribute of ``owner`` (a class or module) and returns what stands there instead."""

    owner: Any
    name: str
    wrap: Callable[[Any], Any]


@attrs.frozen
class Bug:
    """One planted bug."""

    name: str
    invariant: str
    """The one that must catch it."""
    description: str
    patches: tuple[Patch, ...]
    scenario: Callable[[], Scenario]
    needs: Callable[[Scenario], bool] | None = None
    """Without which the bug cannot show, whatever happens: a random seed that lacks it counts as tried, unrun."""


@contextmanager
def active(bug: Bug | None) -> Iterator[None]:
    """Switch a bug on for the length of a ``with`` block; None switches nothing on."""
    undone: list[tuple[Any, str, Any]] = []
    try:
        for patch in bug.patches if bug is not None else ():
            place = _place(patch)
            original = vars(place)[patch.name]
            undone.append((place, patch.name, original))
            setattr(place, patch.name, patch.wrap(original))
        yield
    finally:
        for place, name, original in reversed(undone):
            setattr(place, name, original)


def _place(patch: Patch) -> Any:
    """Return where the attribute is written down: a class may have it from one that it is made of."""
    kinds = patch.owner.__mro__ if isinstance(patch.owner, type) else (patch.owner,)
    return next((kind for kind in kinds if patch.name in vars(kind)), patch.owner)


@attrs.define
class Script:
    """A scenario in the making: fair weather, and exactly what is written down."""

    options: Options
    operations: list[Operation] = attrs.field(factory=list)
    faults: list[Fault] = attrs.field(factory=list)

    @classmethod
    def of(cls, **fixed: Any) -> "Script":
        """Begin one for three nodes (or as fixed), whose clients have learnt who owns what."""
        plain = {"seed": 1, "faults_per_minute": 0.0, "keys": 1, "counters": 0, "clients": 2}
        script = cls(Options(**(plain | fixed)))
        for client in range(script.options.clients):
            script.get(0.1, key=b"first", client=client)
        return script

    def owners(self, key: bytes = b"k0") -> tuple[str, ...]:
        """Return a key's owners in order; clients ask the first, if they reach it."""
        return _owners(self.options, key)

    def owners_with(self, joiner: str, key: bytes = b"k0") -> tuple[str, ...]:
        """Return a key's owners once a joiner has its place, and all others after them, nearest first."""
        options = self.options
        names = (*node_names(options), joiner)
        placement = _placement(names, options.zones, options.partition_count, options.replication_factor)
        return placement.preference(key_hash(key) >> placement.shift)

    def keys_of(self, owners: tuple[str, ...], count: int) -> list[bytes]:
        """Return so many keys whose owners are these, in this order."""
        keys = (b"k%d" % number for number in range(10_000))
        return list(islice((key for key in keys if self.owners(key) == owners), count))

    def at(
        self, at_s: float, kind: OperationKind, key: bytes = b"k0", client: int = 0, level: int = 2, **arguments: Any
    ) -> None:
        """Add an operation; ``value`` of a write is filled in."""
        number = len(self.operations)
        if kind in (OperationKind.SET, OperationKind.SET_IF_ABSENT) and "size" in arguments:
            arguments["value"] = b"%d:" % number + b"." * arguments.pop("size")
        elif kind is OperationKind.SET:
            arguments.setdefault("value", b"%d:" % number)
        self.operations.append(Operation(number, at_s, client, kind, key, {"level": level, "full": True, **arguments}))

    def set(self, at_s: float, **given: Any) -> None:
        """Add a set."""
        self.at(at_s, OperationKind.SET, **given)

    def get(self, at_s: float, **given: Any) -> None:
        """Add a read."""
        self.at(at_s, OperationKind.GET, **given)

    def fault(self, at_s: float, kind: str, **arguments: Any) -> None:
        """Add a fault."""
        self.faults.append(Fault(at_s, kind, arguments))

    def part(self, begin_s: float, end_s: float, side: list[str]) -> None:
        """Split these nodes from all others for a while; clients reach everyone."""
        self.fault(begin_s, "split", side=side, duration_s=end_s - begin_s)

    def cut(self, begin_s: float, end_s: float, sources: list[str], targets: list[str]) -> None:
        """Let nothing from some nodes reach some others for a while."""
        self.fault(begin_s, "cut", sources=sources, targets=targets, duration_s=end_s - begin_s)

    def between(self, begin_s: float, end_s: float, some: list[str], others: list[str]) -> None:
        """Cut both ways between some nodes and some others for a while."""
        self.cut(begin_s, end_s, some, others)
        self.cut(begin_s, end_s, others, some)

    def hide(self, begin_s: float, end_s: float, client: int, nodes: list[str]) -> None:
        """Keep these nodes from one client for a while."""
        name, duration_s = f"client{client}", end_s - begin_s
        self.fault(begin_s, "cut", sources=[name], targets=nodes, duration_s=duration_s)
        self.fault(begin_s, "cut", sources=nodes, targets=[name], duration_s=duration_s)

    def scenario(self, length_s: float = 0.0) -> Scenario:
        """Return it, as long as its last event asks for, or longer."""
        moments = [operation.at_s for operation in self.operations] + [fault.at_s for fault in self.faults]
        last_s = max([0.0, *moments])
        options = attrs.evolve(self.options, duration_s=max(length_s, last_s + 1.0))
        operations = tuple(sorted(self.operations, key=lambda operation: operation.at_s))
        return Scenario(options, operations, tuple(sorted(self.faults, key=lambda fault: fault.at_s)))


@cache
def _placement(nodes: tuple[str, ...], zones: int, partition_count: int, replication_factor: int) -> Placement:
    entries = [
        MemberEntry(name, 1, 1, MemberState.NORMAL, f"z{index % zones}" if zones > 1 else "", 1, name, 1)
        for index, name in enumerate(nodes)
    ]
    return Placement.from_table(MemberTable.of(bytes(16), partition_count, replication_factor, entries))


def _owners(options: Options, key: bytes) -> tuple[str, ...]:
    placement = _placement(node_names(options), options.zones, options.partition_count, options.replication_factor)
    return placement.owners(key_hash(key) >> placement.shift)
