"""The layout: exactly the bytes that other parts read by hand, and one encoding for each state."""

import pytest
from hypothesis import given

from dynacache.errors import Overloaded
from dynacache.versioning.kernel import COUNTER, REGISTER, State, Version
from dynacache.versioning.kernel import TOMBSTONE as TOMBSTONE_VERSION
from dynacache.versioning.layout import (
    ENTRY_LIMIT,
    HEADER,
    HEADER_BYTES,
    MANY,
    OWN_BASE,
    TOMBSTONE,
    VALUE,
    decode,
    decode_clock,
    encode,
    encode_clock,
)
from tests.strategies import states


@given(states(), states())
def test_states_survive_packing_and_equal_states_have_equal_bytes(first: State, second: State) -> None:
    packed = encode(first, OWN_BASE)
    assert decode(packed) == first
    assert encode(decode(packed), OWN_BASE) == packed
    assert (packed == encode(second, OWN_BASE)) == (first == second)
    assert encode(first, 0)[1:] == packed[1:]


@given(states())
def test_insertion_order_does_not_reach_the_bytes(state: State) -> None:
    shuffled = State(dict(reversed(list(state.context.items()))), state.cloud, dict(reversed(list(state.dots.items()))))
    assert encode(shuffled, 0) == encode(state, 0)


def test_the_bytes_of_a_value() -> None:
    version = Version(REGISTER, 1, 0x0102, 0x0304, 0x0506, b"payload")
    record = encode(State({(9, 2): 7, (8, 1): 3}, frozenset(), {((9, 2), 7): version}), OWN_BASE)
    assert record == (
        bytes([1, 1, 1, 2, 1])
        + bytes([0, 0, 0, 0, 0, 0, 1, 2])
        + bytes([0, 0, 0, 0, 0, 0, 3, 4])
        + bytes([0, 0, 0, 0, 0, 0, 5, 6])
        + bytes([0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 3])
        + bytes([0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 7])
        + b"payload"
    )
    assert HEADER_BYTES == 29


def kind_of(dots: dict[tuple[tuple[int, int], int], Version], context: dict[tuple[int, int], int]) -> int:
    kind: int = HEADER.unpack_from(encode(State(context, frozenset(), dots), 0))[1]
    return kind


def test_only_a_single_version_at_the_head_of_its_actor_is_not_many() -> None:
    value, tombstone, cell = (Version(kind, 0, 1, 0, 0, b"") for kind in (REGISTER, TOMBSTONE_VERSION, COUNTER))
    actor = (1, 1)
    assert kind_of({(actor, 2): value}, {actor: 2}) == VALUE
    assert kind_of({(actor, 2): tombstone}, {actor: 2}) == TOMBSTONE
    assert kind_of({(actor, 1): value}, {actor: 2}) == MANY
    assert kind_of({(actor, 2): cell}, {actor: 2}) == MANY
    assert kind_of({(actor, 1): value, (actor, 2): value}, {actor: 2}) == MANY
    assert kind_of({}, {actor: 2}) == MANY


def test_the_header_of_many_tells_the_newest_time_and_the_next_change() -> None:
    dots = {((1, 1), n): Version(REGISTER, 0, 10 - n, 100 * n, 0, b"x") for n in (1, 2)}
    header = HEADER.unpack_from(encode(State({(1, 1): 2}, frozenset(), dots), 0))
    assert header == (0, MANY, 0, 1, 0, 9, 100, 0)


def test_a_clock_that_does_not_fit_is_refused() -> None:
    context = {(incarnation, 0): 1 for incarnation in range(ENTRY_LIMIT + 1)}
    dots = {((0, 0), 1): Version(REGISTER, 0, 1, 0, 0, b"")}
    with pytest.raises(Overloaded, match="256 actors"):
        encode(State(context, frozenset(), dots), 0)
    del context[255, 0]
    assert decode(encode(State(context, frozenset(), dots), 0)).context == context


def test_clocks_are_packed_in_order() -> None:
    clock = {(2, 1): 5, (1, 9): 6, (1, 2): 7}
    assert list(decode_clock(encode_clock(clock)).items()) == [((1, 2), 7), ((1, 9), 6), ((2, 1), 5)]
