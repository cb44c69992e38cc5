"""The memory of the whole process: one limit on what the operating system counts, and how it is shared.

What: the section that ``storage.governor`` and the runtime receive. With ``limit_bytes`` set, resident memory decides:
what is left of the limit once the interpreter, hints and buffers have theirs is the store's, and it is corrected
several times a second by what the system really counts. With 0 the store has the fixed size ``storage.limit_bytes``,
and everything else comes on top of it.

Invariant: exactly one of the two limits is in force; ``storage.limit_bytes`` is not read while this one is set.

Why feedback: the account of the store knows every object that it keeps, and nothing of what an allocator keeps of
memory that was freed. After a change of the usual size of values that was measured at 60 % of the account.
"""

from typing import Any

import attrs

from dynacache.errors import InvalidOption

__all__ = ["MemoryConfig"]


def _share(_: Any, attribute: "attrs.Attribute[float]", value: float) -> None:
    if not 0 < value <= 0.5:
        raise InvalidOption(f"memory.{attribute.name}: got {value}, expected a share above 0 and at most 0.5")


@attrs.frozen
class MemoryConfig:
    """A limit in bytes, shares of it, seconds between measurements."""

    limit_bytes: int = 0
    """Resident memory of the process, as the operating system counts it: interpreter, hints, buffers and the store
    together. It is held within 5 % by evicting. 0: no such limit, and the store keeps to ``storage.limit_bytes``."""

    hints_share: float = attrs.field(default=0.1, validator=_share)
    """Part of the limit that hints may take, where ``hints.limit_bytes`` is not less. What they take, the entries give
    up. More tolerates longer absence of other nodes."""

    buffers_share: float = attrs.field(default=0.05, validator=_share)
    """Part of the limit for messages that wait to be sent to clients. Beyond it no client is read that has output
    waiting, until half of it has left."""

    floor_share: float = attrs.field(default=0.5, validator=_share)
    """Part of its first size below which the store is not made smaller, though resident memory does not follow; then
    ``memory.floor`` is noted. More keeps more entries when something else fills the memory."""

    aim_share: float = 0.98
    """Part of the limit at which resident memory is held. The rest is room for what one interval brings."""

    interval_s: float = 0.1
    """Seconds between measurements. Less follows faster; a measurement takes some 10 microseconds."""

    def __attrs_post_init__(self) -> None:
        """Check ranges."""
        if self.limit_bytes < 0:
            raise InvalidOption(f"memory.limit_bytes: got {self.limit_bytes}, expected a number of bytes, or 0")
        if not 0.5 <= self.aim_share < 1:
            raise InvalidOption(f"memory.aim_share: got {self.aim_share}, expected a share from 0.5 to below 1")
        if not 0.01 <= self.interval_s <= 10:
            raise InvalidOption(f"memory.interval_s: got {self.interval_s}, expected 0.01 to 10 seconds")
