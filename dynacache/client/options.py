"""How an operation is to be carried out: levels, timeout, staleness; per client, and overridden per call.

What: `Options` holds a client's defaults; `level_of` reads a level given by name or as a `Level`.

Invariant: whatever a caller passes is either a valid option here or an InvalidRequest that names it, before anything is
sent.

``max_staleness`` (seconds) states how old an answer the caller can live with. None says nothing: the read's level
decides, and the read goes where writes of the key go, so that a client finds what it wrote for as long as that node can
be reached. 0 says the same, explicitly, against a client's default. Above 0, this release reads at level ONE from any
owner in turn, whatever the level: an owner's copy may lag by the time that replication, hints and repair take, which no
clock bounds today. A later release will compare the bound with what a replica knows of its own age; code that states
its bound now will then be held to it, with no change.
"""

import math
from typing import Final

import attrs

from dynacache.errors import InvalidRequest
from dynacache.namespaces.settings import NEVER_MS
from dynacache.types import Level, WriteCondition

__all__ = ["LEVEL_DEFAULT", "TIMEOUT_LIMIT_S", "Options", "checked_timeout_s", "condition_of", "level_of", "ttl_ms_of"]

LEVEL_DEFAULT: Final = 0
"""On the wire: the namespace's own default level."""
TIMEOUT_LIMIT_S: Final = 3600.0
_TTL_LIMIT_S: Final = 2.0**30
_BY_NAME: Final = {level.name.lower(): level for level in Level}


def level_of(level: object) -> int:
    """The wire form of a level; None is the namespace's default. Raises InvalidRequest."""
    if level is None:
        return LEVEL_DEFAULT
    if isinstance(level, Level):
        return int(level)
    found = _BY_NAME.get(level) if isinstance(level, str) else None
    if found is None:
        raise InvalidRequest(f"level: got {level!r}, expected one of {', '.join(_BY_NAME)}")
    return int(found)


def checked_timeout_s(timeout: object) -> float:
    """A timeout in seconds; raises InvalidRequest unless it is above 0 and at most an hour."""
    if not isinstance(timeout, int | float) or not 0 < timeout <= TIMEOUT_LIMIT_S:
        raise InvalidRequest(f"timeout: got {timeout!r}, expected seconds above 0, at most {TIMEOUT_LIMIT_S:.0f}")
    return float(timeout)


def ttl_ms_of(ttl: object) -> int:
    """The wire form of a time to live in seconds: None is the namespace's default, infinity never ends. Raises
    InvalidRequest."""
    if ttl is None:
        return 0
    if ttl == math.inf:
        return NEVER_MS
    if not isinstance(ttl, int | float) or not 0 < ttl <= _TTL_LIMIT_S:
        raise InvalidRequest(f"ttl: got {ttl!r}, expected seconds above 0, math.inf for never, or None")
    return max(1, math.ceil(ttl * 1000))


def _check_staleness(max_staleness: object) -> None:
    if max_staleness is not None and (not isinstance(max_staleness, int | float) or not max_staleness >= 0):
        raise InvalidRequest(f"max_staleness: got {max_staleness!r}, expected seconds, 0 or more, or None")


@attrs.frozen
class Options:
    """The defaults of one client."""

    read_level: int = attrs.field(default=None, converter=level_of)
    write_level: int = attrs.field(default=None, converter=level_of)
    timeout_s: float = attrs.field(default=5.0, converter=checked_timeout_s)
    max_staleness: float | None = None

    def __attrs_post_init__(self) -> None:
        """Check what no converter has checked."""
        _check_staleness(self.max_staleness)

    def read(self, level: Level | str | None, max_staleness: float | None) -> tuple[int, bool]:
        """The wire level of a read, and whether any owner will do (else the first one, where writes go too)."""
        if max_staleness is None:
            max_staleness = self.max_staleness
        else:
            _check_staleness(max_staleness)
        if max_staleness:
            return Level.ONE.value, True
        return (self.read_level if level is None else level_of(level)), False

    def write(self, level: Level | str | None) -> int:
        """The wire level of a write."""
        return self.write_level if level is None else level_of(level)


def condition_of(only_if_absent: bool, only_if_present: bool, version: object) -> WriteCondition:
    """The one condition that a write demands; raises InvalidRequest for more than one."""
    if only_if_absent + only_if_present + (version is not None) > 1:
        raise InvalidRequest("only one of only_if_absent, only_if_present and version can be demanded")
    if only_if_absent:
        return WriteCondition.IF_ABSENT
    if only_if_present:
        return WriteCondition.IF_PRESENT
    if version is None:
        return WriteCondition.NONE
    if not isinstance(version, bytes):
        raise InvalidRequest(f"version: got {type(version).__name__}, expected the bytes of an earlier answer")
    return WriteCondition.IF_VERSION
