"""Resident memory is what the system says, the allocator is trimmed no more often than is cheap, limits are divided."""

import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from dynacache.config import Config, HintConfig, MemoryConfig
from dynacache.errors import InvalidOption
from dynacache.events import Note
from dynacache.runtime.memory import (
    MAPPED_ABOVE_BYTES,
    TRIM_NOTICE_S,
    ResidentMemory,
    Trimmer,
    calm_allocator,
    config_within,
)

MIB = 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="compares with /proc")
def test_resident_memory_follows_what_is_touched() -> None:
    memory = ResidentMemory()
    before = memory.bytes()
    assert before is not None
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    assert abs(before - pages * 4096) < 32 * MIB
    held = bytearray(b"x") * (64 * MIB)
    after = memory.bytes()
    assert after is not None
    assert 56 * MIB < after - before < 80 * MIB
    assert len(held) == 64 * MIB
    memory.close()
    assert memory.bytes() is None


def test_a_system_that_does_not_tell_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    memory = ResidentMemory()
    assert memory.bytes() is None
    memory.close()


@attrs.define
class FakeLibrary:
    """A C library that remembers how it was set, and whose trims take time."""

    settings: dict[int, int] = attrs.field(factory=dict)
    trims: int = 0
    now_s: float = 100.0
    cost_s: float = 0.001

    def mallopt(self, name: int, setting: int) -> int:
        """Accept."""
        self.settings[name] = setting
        return 1

    def malloc_trim(self, pad: int) -> int:
        """Take a while."""
        assert pad == 0
        self.trims += 1
        self.now_s += self.cost_s
        return 1

    def clock(self) -> float:
        """Its own time."""
        return self.now_s


def test_the_allocator_keeps_one_arena_and_maps_large_blocks() -> None:
    library = FakeLibrary()
    assert calm_allocator(library)
    assert library.settings[-8] == 1
    assert library.settings[-3] == MAPPED_ABOVE_BYTES
    assert calm_allocator(object()) is False


def test_trims_take_a_thousandth_of_the_time_at_most() -> None:
    library = FakeLibrary(cost_s=0.008)
    notes: list[Note] = []
    trimmer = Trimmer(notes.append, library.clock, library)
    began_s = library.now_s
    while library.now_s < began_s + 100:
        trimmer.trim()
        library.now_s += 0.25
    assert 10 <= library.trims <= 13
    assert trimmer.longest_s == pytest.approx(0.008)
    assert notes == []
    library.cost_s = 2 * TRIM_NOTICE_S
    library.now_s += 100
    assert trimmer.trim()
    assert [note.event for note in notes] == ["memory.trim_slow"]


def test_a_library_without_trims_is_left_alone() -> None:
    notes: list[Note] = []
    trimmer = Trimmer(notes.append, library=None)
    assert trimmer.trim() is False


def config_of(limit_bytes: int, **fields: Any) -> Config:
    return Config(memory=MemoryConfig(limit_bytes=limit_bytes), **fields)


def test_a_configuration_without_a_limit_is_left_alone() -> None:
    config = Config()
    assert config_within(config, None) is config


def test_the_limit_is_divided_between_store_and_hints() -> None:
    config = config_within(config_of(1000 * MIB), 50 * MIB)
    assert 800 * MIB < config.storage.limit_bytes < 950 * MIB
    assert config.hints.limit_bytes == 100 * MIB
    assert config.hints.target_limit_bytes == HintConfig().target_limit_bytes


def test_a_limit_that_cannot_be_watched_is_refused() -> None:
    with pytest.raises(InvalidOption, match=r"memory\.limit_bytes: got 1048576000, expected 0"):
        config_within(config_of(1000 * MIB), None)
