"""Disks: what was synced stays, of the rest a prefix."""

import pytest

from sim.draws import Draws
from sim.world.disks import Disk


def test_a_crash_keeps_what_was_synced_and_a_prefix_of_the_rest() -> None:
    lengths = set()
    for seed in range(50):
        disk = Disk(Draws(seed).stream("disk"))
        disk.append("log", b"synced")
        disk.sync("log")
        disk.append("log", b"tail")
        assert disk.read("log") == b"syncedtail"
        disk.crash()
        assert b"syncedtail".startswith(disk.read("log"))
        assert disk.read("log").startswith(b"synced")
        lengths.add(len(disk.read("log")))
    assert lengths == {6, 7, 8, 9, 10}


def test_files_are_named_removed_and_wiped() -> None:
    disk = Disk(Draws(1).stream("disk"))
    for name in ("b", "a"):
        disk.append(name, b"x")
    assert disk.names() == ["a", "b"]
    disk.unlink("a")
    with pytest.raises(KeyError):
        disk.read("a")
    disk.wipe()
    assert disk.names() == []
