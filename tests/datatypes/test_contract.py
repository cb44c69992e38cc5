"""One law test for all value types: what is read depends on the set of versions, never on their order or route."""

import random
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.datatypes.contract import Cell, ValueType
from dynacache.datatypes.counter import Counter
from dynacache.datatypes.reading import read
from dynacache.datatypes.register import Register
from dynacache.versioning import kernel, packed
from dynacache.versioning.kernel import State
from tests.replicas import START_MS, World
from tests.strategies import states, worlds

TYPES: list[ValueType] = [Register(), Counter()]


@pytest.mark.parametrize("value_type", TYPES, ids=lambda value_type: type(value_type).__name__)
@given(state=states(), data=st.data())
def test_the_payload_does_not_depend_on_the_order_of_cells(
    value_type: ValueType, state: State, data: st.DataObject
) -> None:
    seen = kernel.resolve(state.dots, None)
    base: Cell | None = None if seen.base is None else (seen.base, state.dots[seen.base])
    cells = [(dot, state.dots[dot]) for dot in seen.cells]
    if value_type.kind == kernel.REGISTER and base is None:
        return
    if value_type.kind == kernel.COUNTER and not cells:
        return
    shuffled = data.draw(st.permutations(cells))
    assert value_type.payload(base, shuffled) == value_type.payload(base, cells)


def test_every_type_has_its_own_kind_of_version() -> None:
    assert [value_type.kind for value_type in TYPES] == [kernel.REGISTER, kernel.COUNTER]


@given(worlds(), st.randoms(use_true_random=False))
def test_replicas_that_received_the_same_read_the_same(world: World, draw: random.Random) -> None:
    if not world.produced:
        return
    shuffled = [*world.produced, *world.produced[:3]]
    draw.shuffle(shuffled)
    first, second = reduce(packed.merge, world.produced), reduce(packed.merge, shuffled)
    for now_ms in (START_MS, world.now_ms, world.now_ms + 1000):
        assert read(first, now_ms) == read(second, now_ms)
