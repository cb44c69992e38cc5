"""The governor: from what the operating system counts to what the store may hold.

What: ``first_limit`` divides ``memory.limit_bytes`` when a node starts; a ``Governor`` is then told, several times a
second, how much of the process is resident, and answers with the limit for the store and whether the allocator should
give back what it holds for nothing.

Invariants: the answer lies between the floor and the whole limit. While resident memory grows beyond the aim, it falls
at once by the growth and half of the excess, from what the store really holds; while it stands still above the limit,
by half of the excess every ``SETTLE_S``. The answer rises only while the store is full: by half of the gap while
resident memory is a hundredth of the limit or more below the aim, and above that, up to the limit, by a four-hundredth
every ``SETTLE_S`` without growth, to see whether the heap has found room: what was given up for growth must have a way
back, as a heap hardly ever shrinks.

Why growth and not the excess itself: what is evicted does not go back to the system, it becomes room within the heap
that the next writes fill. A controller that lowers the limit by the whole excess at every look would empty the store
while it waits for that. A controller that knew only the ratio of resident to counted bytes would
never let a store refill after half of it was deleted. Why a floor: when what fills the memory is not the store, an
empty cache helps nobody; an operator must know. brief R12.8; DESIGN section 4.
"""

import attrs

from dynacache.config.memory import MemoryConfig
from dynacache.errors import InvalidOption

__all__ = ["SETTLE_S", "Governor", "Verdict", "first_limit"]

SETTLE_S = 2.0
"""What an eviction frees should show in resident memory by then."""

_FIRST_SHARE = 0.9
"""Of what is free at the start; the account is a few per cent below what the system counts, and growing is easy."""

_LEAST_SHARE = 0.25
"""A store with less of the limit than this is a mistake in the limit."""

_BAND_SHARE = 0.01
_PROBE_SHARE = 0.0025
_FULL_SHARE = 0.97
_WASTE_SHARE = 0.125
_WASTE_BYTES = 16 * 1024 * 1024
"""What may become resident for nothing before a trim: so much at most, as a pause follows from what a trim gives back,
and at most that part of what the store counts."""
_TRIM_AGAIN_S = 5.0
"""Where that part is resident for nothing all the time, a trim is tried so often: what it could not give back lies
between entries that go."""


def first_limit(settings: MemoryConfig, resident_bytes: int) -> int:
    """Return the store's limit in bytes for a process that is ``resident_bytes`` large before it holds anything.

    Raises InvalidOption if that leaves too little.
    """
    limit_bytes = settings.limit_bytes
    room_bytes = int((limit_bytes * settings.aim_share - resident_bytes) * _FIRST_SHARE)
    if room_bytes < limit_bytes * _LEAST_SHARE:
        raise InvalidOption(
            f"memory.limit_bytes: got {limit_bytes}, expected at least"
            f" {int(resident_bytes / (settings.aim_share - _LEAST_SHARE / _FIRST_SHARE)) + 16}:"
            f" the process takes {resident_bytes} before it holds anything"
        )
    return room_bytes


@attrs.frozen
class Verdict:
    """What to do now: the store's limit, whether to trim the allocator, whether the floor stops it."""

    store_limit_bytes: int
    trim: bool
    at_floor: bool


@attrs.define(eq=False)
class Governor:
    """The feedback. ``store_limit_bytes`` is the limit it has settled on, ``first_bytes`` the one it began with."""

    settings: MemoryConfig
    first_bytes: int
    store_limit_bytes: int = attrs.field(init=False)
    resident_bytes: int = attrs.field(init=False, default=0)
    """The last measurement."""
    base_bytes: int = attrs.field(init=False, default=0)
    """What was resident beside the store at the first measurement: the interpreter and what it has loaded."""

    _answered_bytes: int = attrs.field(init=False, default=0)
    """The resident memory up to which the limit has been lowered already."""
    _moved_s: float = attrs.field(init=False, default=0.0)
    _trimmed_s: float = attrs.field(init=False, default=0.0)
    _waste_left_bytes: int = attrs.field(init=False, default=0)
    """The least that was resident for nothing since the last trim: what trims do not give back."""

    def __attrs_post_init__(self) -> None:
        self.store_limit_bytes = self.first_bytes

    @property
    def floor_bytes(self) -> int:
        """What the store keeps whatever is measured."""
        return int(self.first_bytes * self.settings.floor_share)

    @property
    def aim_bytes(self) -> int:
        """Where resident memory is held."""
        return int(self.settings.limit_bytes * self.settings.aim_share)

    def measured(self, resident_bytes: int, used_bytes: int, now_s: float) -> Verdict:
        """Take a measurement, with what the store's account says at that moment."""
        if not self.resident_bytes:
            self.base_bytes = resident_bytes - used_bytes
        self.resident_bytes = resident_bytes
        excess = resident_bytes - self.aim_bytes
        is_full = used_bytes >= self.store_limit_bytes * _FULL_SHARE
        stuck = False
        if excess > 0:
            stuck = self._lower(resident_bytes, excess, min(self.store_limit_bytes, used_bytes), is_full, now_s)
        else:
            self._answered_bytes = self.aim_bytes
            if is_full:
                self._raise(-excess, now_s)
        floor_bytes = self.floor_bytes
        self.store_limit_bytes = max(floor_bytes, min(self.store_limit_bytes, self.settings.limit_bytes))
        at_floor = excess > 0 and self.store_limit_bytes == floor_bytes
        waste_bytes = resident_bytes - self.base_bytes - used_bytes
        self._waste_left_bytes = left_bytes = min(self._waste_left_bytes, waste_bytes)
        much_bytes = min(_WASTE_BYTES, used_bytes * _WASTE_SHARE)
        is_due = now_s - self._trimmed_s >= _TRIM_AGAIN_S and waste_bytes > used_bytes * _WASTE_SHARE
        trim = excess > 0 and (stuck or is_due or waste_bytes - left_bytes > much_bytes)
        if trim:
            self._waste_left_bytes, self._trimmed_s = waste_bytes, now_s
        return Verdict(self.store_limit_bytes, trim, at_floor)

    def _lower(self, resident_bytes: int, excess: int, held_bytes: int, is_full: bool, now_s: float) -> bool:
        """Lower the limit if that is due; True if resident memory stands still above its limit."""
        growth = resident_bytes - max(self._answered_bytes, self.aim_bytes)
        if growth > 0:
            self.store_limit_bytes = held_bytes - growth - excess // 2
            stuck = False
        elif is_full and now_s - self._moved_s >= SETTLE_S:
            stuck = resident_bytes > self.settings.limit_bytes
            if stuck:
                self.store_limit_bytes = held_bytes - (excess + 1) // 2
            else:
                self.store_limit_bytes += int(self.settings.limit_bytes * _PROBE_SHARE)
        else:
            return False
        self._answered_bytes = resident_bytes
        self._moved_s = now_s
        return stuck

    def _raise(self, gap_bytes: int, now_s: float) -> None:
        if gap_bytes > self.settings.limit_bytes * _BAND_SHARE:
            self.store_limit_bytes += gap_bytes // 2
        elif now_s - self._moved_s >= SETTLE_S:
            self.store_limit_bytes += int(self.settings.limit_bytes * _PROBE_SHARE)
        else:
            return
        self._moved_s = now_s
