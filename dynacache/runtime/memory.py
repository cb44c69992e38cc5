"""The memory of this process: how much the system counts, and an allocator that gives back what it can.

What: `ResidentMemory` reads the resident size. `calm_allocator` sets the C allocator up, before anything is stored.
`Trimmer` has it give back free pages, as often as that is cheap. `config_within` turns ``memory.limit_bytes`` into the
sizes that the node's parts are made with.

Invariants: reading costs one system call and never fails once it has worked; trims take at most a thousandth of the
time. Where the system does not tell resident memory, a configured limit is refused at the start, not ignored.

Why these settings, all measured (docs/memory.md has the figures): one arena, since one thread allocates and memory in a
second one is never trimmed together with the first. A fixed threshold for mapped memory: by default glibc raises it to
the largest block ever freed, after which large values fragment the heap and are no longer given back. Trims: a heap
gives back its top by itself, and nothing below it; after a change of the usual size of values 60 % of the account was
resident for nothing, 7 % after a trim. Huge pages off: they round every small gap up to 2 MiB. What did not help:
``PYTHONMALLOC=malloc`` keeps 10 to 60 % in the same tests, and makes writes a third slower.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any, Final

import attrs

from dynacache.config import Config
from dynacache.errors import InvalidOption
from dynacache.events import Note
from dynacache.runtime.entropy import monotonic_now
from dynacache.storage.governor import first_limit

__all__ = [
    "MAPPED_ABOVE_BYTES",
    "TRIM_NOTICE_S",
    "ResidentMemory",
    "Trimmer",
    "calm_allocator",
    "config_within",
]

MAPPED_ABOVE_BYTES: Final = 128 * 1024
"""Blocks from this size on are mapped, and go back to the system the moment they are freed."""
TRIM_NOTICE_S: Final = 0.01
"""A trim that took longer is noted."""

_TRIM_TOP_BYTES: Final = 1024 * 1024
_TRIM_INTERVAL_S: Final = 0.5
_TRIM_SHARE: Final = 1 / 1000
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_PR_SET_THP_DISABLE = 41
_RUSAGE_INFO_V2 = 2
_RUSAGE_WORDS = 64
_RESIDENT_WORD = 8
"""Of ``rusage_info_v2``, behind a UUID of two words: user and system time, idle and interrupt wake-ups, page-ins,
wired size, then the resident size."""


class ResidentMemory:
    """Reads the resident size of this process."""

    def __init__(self) -> None:
        self._read: Callable[[], int | None] = _nothing
        self._library: Any = None
        if sys.platform == "linux":
            self._descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
            self._page_bytes = os.sysconf("SC_PAGE_SIZE")
            self._read = self._read_statm
        elif sys.platform == "darwin":
            self._library = ctypes.CDLL("/usr/lib/libproc.dylib")
            self._read = self._read_rusage

    def bytes(self) -> int | None:
        """The bytes of this process that are in memory; None where the system does not tell."""
        return self._read()

    def close(self) -> None:
        """Give the descriptor back."""
        if self._read == self._read_statm:
            os.close(self._descriptor)
        self._read = _nothing

    def _read_statm(self) -> int:
        return int(os.pread(self._descriptor, 128, 0).split()[1]) * self._page_bytes

    def _read_rusage(self) -> int | None:
        words = (ctypes.c_uint64 * _RUSAGE_WORDS)()
        failed = self._library.proc_pid_rusage(os.getpid(), _RUSAGE_INFO_V2, ctypes.byref(words))
        return None if failed else words[_RESIDENT_WORD]


def _nothing() -> int | None:
    return None


def _c_library() -> Any:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):
        return None


def calm_allocator(library: Any = None) -> bool:
    """Set the C allocator up for one thread and a long life; False where it is not glibc's."""
    library = library or _c_library()
    if library is None or not hasattr(library, "malloc_trim"):
        return False
    settings = (
        (_M_ARENA_MAX, 1),
        (_M_MMAP_THRESHOLD, MAPPED_ABOVE_BYTES),
        (_M_TRIM_THRESHOLD, _TRIM_TOP_BYTES),
    )
    done = [library.mallopt(name, value) for name, value in settings]
    if hasattr(library, "prctl"):
        library.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)
    return all(done)


@attrs.define(eq=False)
class Trimmer:
    """Has the allocator give back free pages when asked, not more often than is cheap."""

    note: Callable[[Note], None]
    clock: Callable[[], float] = monotonic_now
    library: Any = attrs.field(factory=_c_library)
    trims: int = attrs.field(default=0, init=False)
    longest_s: float = attrs.field(default=0.0, init=False)
    _due_s: float = attrs.field(default=0.0, init=False)

    def trim(self) -> bool:
        """Trim unless the last one was too recent; True if it was done."""
        began_s = self.clock()
        if began_s < self._due_s or not hasattr(self.library, "malloc_trim"):
            return False
        self.library.malloc_trim(0)
        took_s = self.clock() - began_s
        self._due_s = began_s + max(_TRIM_INTERVAL_S, took_s / _TRIM_SHARE)
        self.trims += 1
        self.longest_s = max(self.longest_s, took_s)
        if took_s > TRIM_NOTICE_S:
            self.note(Note("memory.trim_slow", {"seconds": round(took_s, 4)}, "warning"))
        return True


def config_within(config: Config, resident_bytes: int | None) -> Config:
    """Return the configuration with what ``memory.limit_bytes`` leaves to the store and to hints; the same without it.

    ``resident_bytes`` is the process before it holds anything. Raises InvalidOption if that leaves too little, or is
    not known.
    """
    memory = config.memory
    if not memory.limit_bytes:
        return config
    if resident_bytes is None:
        raise InvalidOption(
            f"memory.limit_bytes: got {memory.limit_bytes}, expected 0, as this system does not tell resident memory;"
            " set storage.limit_bytes instead"
        )
    hints = config.hints
    most_bytes = int(memory.limit_bytes * memory.hints_share)
    return attrs.evolve(
        config,
        storage=attrs.evolve(config.storage, limit_bytes=first_limit(memory, resident_bytes)),
        hints=attrs.evolve(
            hints,
            limit_bytes=min(hints.limit_bytes, most_bytes),
            target_limit_bytes=min(hints.target_limit_bytes, most_bytes),
        ),
    )
