"""The register: the winner's payload untouched, and a strict idea of what a number is."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.datatypes.register import Register, number_of
from dynacache.versioning.kernel import RAW, REGISTER, Version
from tests.strategies import numbers


@given(st.binary())
def test_a_register_reads_as_its_payload(payload: bytes) -> None:
    version = Version(REGISTER, 0, 1, 0, 0, payload)
    assert Register().payload((((1, 1), 1), version), ()) == payload


@given(numbers)
def test_a_packed_number_is_a_number(number: int | float) -> None:
    assert number_of(0, msgpack.packb(number)) == number


@pytest.mark.parametrize("value", [True, False, None, "5", b"5", [5], {}, float("inf"), float("nan")])
def test_nothing_else_is(value: object) -> None:
    assert number_of(0, msgpack.packb(value)) is None


def test_raw_bytes_are_never_a_number() -> None:
    assert number_of(RAW, msgpack.packb(5)) is None


@given(st.binary(max_size=12))
def test_arbitrary_bytes_never_raise(payload: bytes) -> None:
    number = number_of(0, payload)
    assert number is None or type(number) in (int, float)


def test_a_number_with_bytes_after_it_is_none() -> None:
    assert number_of(0, msgpack.packb(5) + b"\xc0") is None
