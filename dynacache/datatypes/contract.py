"""The contract of a value type on the causal kernel.

What: a type is one kind of version and one pure function that turns the visible versions of that kind into what a
reader gets. Writing is the kernel's business (fresh dots that supersede what the coordinator saw), and so is merging; a
type never merges anything itself.

Invariant: ``payload`` depends on the set of cells alone, never on their order, so replicas that hold the same versions
answer the same bytes. One law test drives every type through the same traces of writes, merges and losses.

Why resolution happens only here, on reading: a type that dropped a losing version while merging would make the merge
depend on its order (brief R7.2), and replicas would differ for ever.
"""

from collections.abc import Sequence
from typing import Protocol

from dynacache.versioning.actors import Dot
from dynacache.versioning.kernel import Version

__all__ = ["Cell", "ValueType"]

Cell = tuple[Dot, Version]
"""One live version with its dot."""


class ValueType(Protocol):
    """What each value type provides."""

    @property
    def kind(self) -> int:
        """The kind of version (kernel.REGISTER, kernel.COUNTER, ...) that carries this type."""

    def payload(self, base: Cell | None, cells: Sequence[Cell]) -> bytes:
        """Return what a reader gets of these visible versions, not both empty: ``base`` is the winning register."""
