"""Processor time and memory of processes, where the system tells."""

import os
import sys
import time
from pathlib import Path

import pytest

from dynacache.cli.bench.cpu import cpu_seconds, cpu_seconds_from_ticks, resident_bytes

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
def test_both_sources_tell_the_same_of_this_process() -> None:
    busy_until = time.process_time() + 0.05
    while time.process_time() < busy_until:
        pass
    by_clock, by_ticks = cpu_seconds(os.getpid()), cpu_seconds_from_ticks(os.getpid())
    assert by_clock is not None
    assert by_ticks is not None
    assert abs(by_clock - time.process_time()) < 0.05
    assert abs(by_clock - by_ticks) < 0.1


@pytest.mark.parametrize("pid", [2**22 + 1, 2**40])
def test_a_process_that_is_not_there_has_no_figure(pid: int) -> None:
    assert cpu_seconds(pid) is None


def test_a_command_with_spaces_and_brackets_is_no_trouble(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    folder.mkdir()
    fields = ["S", *("0" for _ in range(10)), "150", "50", "0"]
    (folder / "stat").write_text("7 (a ) (b) " + " ".join(fields))
    assert cpu_seconds(7, tmp_path) == 200 / os.sysconf("SC_CLK_TCK")
    (folder / "stat").write_text("7 (a) S")
    assert cpu_seconds(7, tmp_path) is None


@linux
def test_resident_memory_follows_what_is_held() -> None:
    before = resident_bytes()
    held = b"x" * 50_000_000
    after = resident_bytes(os.getpid())
    assert before is not None
    assert after is not None
    assert 40_000_000 < after - before < 60_000_000
    assert len(held) == 50_000_000


def test_no_figure_is_none(tmp_path: Path) -> None:
    assert resident_bytes(7, tmp_path) is None
