"""The governor against a model of a heap: freed memory stays resident, and is used again."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynacache.config.memory import MemoryConfig
from dynacache.errors import InvalidOption
from dynacache.storage.governor import SETTLE_S, Governor, first_limit

MIB = 2**20
LIMIT = 1_000 * MIB
BASE = 50 * MIB
SETTINGS = MemoryConfig(limit_bytes=LIMIT)
INTERVAL_S = SETTINGS.interval_s


@attrs.define
class Heap:
    """A process whose store is kept full: ``waste`` is what a counted byte costs beyond itself once it was allocated;
    what is freed stays resident until a trim, which gives ``trimmed_share`` of it back."""

    governor: Governor
    waste: float = 1.05
    trimmed_share: float = 0.0
    used: int = 0
    resident: int = BASE
    now_s: float = 0.0
    trims: int = 0
    floors: int = 0

    def run(self, seconds: float, growth: int = 50 * MIB) -> int:
        """Write ``growth`` bytes an interval for a while; return the most that was resident."""
        most = 0
        for _ in range(int(seconds / INTERVAL_S)):
            self.now_s += INTERVAL_S
            limit = self.governor.store_limit_bytes
            self.used = min(limit, self.used + growth)
            # A heap grows only as far as what has been written into it since.
            needed = BASE + int(self.used * self.waste)
            self.resident = max(self.resident, min(needed, self.resident + growth))
            most = max(most, self.resident)
            verdict = self.governor.measured(self.resident, self.used, self.now_s)
            self.floors += verdict.at_floor
            if verdict.trim:
                self.trims += 1
                held = self.resident - needed
                self.resident -= int(max(0, held) * self.trimmed_share)
        return most


def heap_of(**fields: float) -> Heap:
    return Heap(Governor(SETTINGS, first_limit(SETTINGS, BASE)), **fields)  # type: ignore[arg-type]


def test_the_first_limit_leaves_room_for_the_process_itself() -> None:
    first = first_limit(SETTINGS, BASE)
    assert 0.8 * (LIMIT - BASE) < first < LIMIT - BASE


def test_a_limit_that_the_process_alone_fills_is_refused_with_the_least_one() -> None:
    with pytest.raises(InvalidOption, match=r"memory\.limit_bytes: got 62914560, expected at least (\d+)") as refused:
        first_limit(MemoryConfig(limit_bytes=60 * MIB), BASE)
    least = int(str(refused.value).split("at least ")[1].split(":")[0])
    assert first_limit(MemoryConfig(limit_bytes=least), BASE) > 0


def test_a_full_store_grows_until_resident_memory_is_at_the_aim() -> None:
    heap = heap_of(waste=1.0)
    most = heap.run(60)
    assert most <= LIMIT
    assert heap.resident >= 0.97 * LIMIT


def test_a_store_that_is_not_full_keeps_its_limit() -> None:
    governor = Governor(SETTINGS, first_limit(SETTINGS, BASE))
    for step in range(100):
        governor.measured(200 * MIB, 100 * MIB, step * INTERVAL_S)
    assert governor.store_limit_bytes == governor.first_bytes


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1.0, 1.5), min_size=1, max_size=6), st.floats(0.0, 1.0))
def test_whatever_a_byte_comes_to_cost_resident_memory_stays_within_five_per_cent(
    wastes: list[float], trimmed_share: float
) -> None:
    heap = heap_of(trimmed_share=trimmed_share)
    heap.run(30)
    for waste in wastes:
        # The usual size of values changes: it takes a while until what is there has been replaced.
        before = heap.waste
        for step in range(1, 41):
            heap.waste = before + (waste - before) * step / 40
            assert heap.run(INTERVAL_S, growth=10 * MIB) <= LIMIT * 1.05
        assert heap.run(20) <= LIMIT * 1.05
        assert heap.governor.store_limit_bytes >= heap.governor.floor_bytes


def test_what_was_answered_is_not_answered_again_before_it_could_take_effect() -> None:
    governor = Governor(SETTINGS, first_limit(SETTINGS, BASE))
    aim, used = governor.aim_bytes, governor.first_bytes
    governor.measured(aim + 10 * MIB, used, 1.0)
    lowered = governor.store_limit_bytes
    assert lowered == used - 15 * MIB
    governor.measured(aim + 10 * MIB, lowered, 1.0 + SETTLE_S / 2)
    assert governor.store_limit_bytes == lowered
    governor.measured(LIMIT + MIB, lowered, 10.0)
    lowered = governor.store_limit_bytes
    governor.measured(LIMIT + MIB, lowered, 10.0 + INTERVAL_S)
    assert governor.store_limit_bytes == lowered
    governor.measured(LIMIT + MIB, lowered, 10.0 + SETTLE_S)
    assert governor.store_limit_bytes == lowered - (LIMIT + MIB - aim + 1) // 2


def test_growth_of_something_else_takes_room_from_a_store_that_is_not_full() -> None:
    governor = Governor(SETTINGS, first_limit(SETTINGS, BASE))
    used = int(governor.first_bytes * 0.8)
    governor.measured(governor.aim_bytes + 10 * MIB, used, 1.0)
    assert governor.store_limit_bytes == used - 15 * MIB


def test_a_full_store_at_the_aim_looks_now_and_then_whether_there_is_room() -> None:
    governor = Governor(SETTINGS, first_limit(SETTINGS, BASE))
    used = governor.first_bytes
    for step in range(int(10 / INTERVAL_S)):
        governor.measured(governor.aim_bytes - 1, used, step * INTERVAL_S)
    assert governor.store_limit_bytes - used == int(LIMIT * 0.0025) * int(10 / SETTLE_S - 1)


def test_a_store_refills_after_deletes_that_freed_nothing() -> None:
    heap = heap_of()
    heap.run(60)
    full = heap.governor.store_limit_bytes
    heap.used //= 2
    heap.run(10, growth=0)
    assert heap.governor.store_limit_bytes >= full * 0.98
    heap.run(30)
    assert heap.used >= full * 0.93


def test_the_floor_holds_when_something_else_fills_the_memory_and_is_told() -> None:
    governor = Governor(SETTINGS, first_limit(SETTINGS, BASE))
    verdict = governor.measured(2 * LIMIT, governor.first_bytes, 1.0)
    assert verdict.store_limit_bytes == governor.floor_bytes == governor.first_bytes // 2
    assert verdict.at_floor
    assert governor.measured(2 * LIMIT, governor.floor_bytes, 1.0 + SETTLE_S).trim
    verdict = governor.measured(LIMIT // 2, governor.floor_bytes, 2.0)
    assert not verdict.at_floor
    assert not verdict.trim


def test_a_trim_is_asked_for_only_where_much_is_resident_for_nothing() -> None:
    governor = Governor(SETTINGS, first_limit(SETTINGS, BASE))
    governor.measured(BASE, 0, 0.0)
    assert governor.base_bytes == BASE
    above = governor.aim_bytes + MIB
    assert not governor.measured(above, above - BASE, 1.0).trim
    assert governor.measured(above, int((above - BASE) / 1.6), 1.1).trim
    assert not governor.measured(LIMIT + MIB, LIMIT - BASE, 1.2).trim
    assert governor.measured(LIMIT + MIB, LIMIT - BASE, 1.3 + SETTLE_S).trim
    assert not governor.measured(governor.aim_bytes - MIB, LIMIT // 2, 4.0).trim


def test_a_trim_is_tried_again_every_five_seconds_and_at_once_only_for_more() -> None:
    governor = Governor(SETTINGS, first_limit(SETTINGS, BASE))
    governor.measured(BASE, 0, 0.0)
    above = governor.aim_bytes + MIB
    used = int((above - BASE) / 1.3)
    asked = [step / 10 for step in range(10, 160) if governor.measured(above, used, step / 10).trim]
    assert asked == [1.0, 6.0, 11.0], "what a trim does not give back asks for no other at once"
    assert governor.measured(above, used - 17 * MIB, 15.9).trim


def test_what_was_given_up_for_growth_comes_back_where_the_heap_has_room() -> None:
    governor = Governor(SETTINGS, first_limit(SETTINGS, BASE))
    above = governor.aim_bytes + 10 * MIB
    governor.measured(above, governor.first_bytes, 0.0)
    lowered = governor.store_limit_bytes
    for step in range(1, 11):
        governor.measured(above, governor.store_limit_bytes, step * SETTLE_S)
    assert governor.store_limit_bytes == lowered + 10 * int(LIMIT * 0.0025)
