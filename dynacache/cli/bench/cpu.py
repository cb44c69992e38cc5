"""Processor time and resident memory of other processes.

What: `cpu_seconds` is what all threads of a process, ended ones too, have used since it started: from the process's own
CPU clock, to the nanosecond, or else from the ticks in /proc/PID/stat.

Invariant: the figure never goes down while the process lives; a process that is gone, or a system that does not tell,
gives None, never a made-up zero.

Why: throughput on a shared machine says little without the share that each process took of it. A tick of /proc is
10 ms, too coarse for rounds of a second. Linux gives every process a CPU clock whose id is computed from its pid
(clock_getcpuclockid(3): the complement of the pid, three bits to the left, kind 2), readable by anyone.
"""

import os
import sys
import time
from pathlib import Path

__all__ = ["cpu_seconds", "cpu_seconds_from_ticks", "resident_bytes"]

_PROCESS_CLOCK_KIND = 2


def cpu_seconds(pid: int, root: Path = Path("/proc")) -> float | None:
    """Seconds of processor time that a process has used since its start; None where nobody tells."""
    if sys.platform == "linux" and root == Path("/proc"):
        try:
            return time.clock_gettime((~pid << 3) | _PROCESS_CLOCK_KIND)
        except (OSError, OverflowError):
            pass
    return cpu_seconds_from_ticks(pid, root)


def cpu_seconds_from_ticks(pid: int, root: Path = Path("/proc")) -> float | None:
    """The same in the resolution of the kernel's ticks."""
    try:
        fields = (root / str(pid) / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def resident_bytes(pid: int | str = "self", root: Path = Path("/proc")) -> int | None:
    """Bytes of a process that are in memory; None where nobody tells."""
    try:
        pages = int((root / str(pid) / "statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
