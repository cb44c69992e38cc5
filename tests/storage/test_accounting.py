"""The arithmetic agrees with what CPython says of real objects and with resident memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.storage.accounting import (
    Usage,
    capacity,
    dictionary_bytes,
    grown_dictionary_bytes,
    object_bytes,
    objects_bytes,
)

ROOT = Path(__file__).resolve().parents[2]


def test_an_object_costs_its_size_rounded_up_by_at_most_one_step_and_a_header() -> None:
    for length in [*range(64), *range(440, 560), 4_096, 1_000_000]:
        size = sys.getsizeof(bytes(length))
        assert size <= object_bytes(length) <= size + 16 + 8
        assert object_bytes(length) % 16 == 0


def test_a_dictionary_grows_exactly_where_its_capacity_says() -> None:
    entries: dict[bytes, int] = {}
    room, size = 0, dictionary_bytes(entries)
    grown = 0
    for number in range(20_000):
        foreseen = size if room else grown_dictionary_bytes(len(entries))
        entries[b"%d" % number] = number
        room -= 1
        assert dictionary_bytes(entries) == foreseen
        if foreseen != size:
            size = foreseen
            room = capacity(size) - len(entries)
            grown += 1
        assert room >= 0
    assert grown > 10


def test_the_total_is_the_sum_of_the_shares() -> None:
    usage = Usage(
        base_bytes=1,
        entries_bytes=20,
        tombstones_bytes=300,
        expiry_bytes=4_000,
        ghosts_bytes=50_000,
        trees_bytes=600_000,
    )
    assert usage.total_bytes == 654_321


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
@pytest.mark.parametrize("ttl_ms", [0, 600_000])
def test_what_is_accounted_is_within_a_tenth_of_resident_growth(ttl_ms: int) -> None:
    source = (
        "from tests.storage.measure_memory import measure_memory\n"
        f"figures = measure_memory(200_000, ttl_ms={ttl_ms})\n"
        "print(figures.accounted_of_resident, figures.recount_equals)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", source]
    output = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    ratio, equal = output.split()
    assert 0.9 <= float(ratio) <= 1.1
    assert equal == "True"


@given(st.lists(st.integers(0, 1_200), max_size=30))
def test_objects_add_up(lengths: list[int]) -> None:
    assert objects_bytes([bytes(length) for length in lengths]) == sum(map(object_bytes, lengths))
