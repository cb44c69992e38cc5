"""Values from elsewhere: exactly the expected type, within bounds, or an error that names them."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.errors import ProtocolError
from dynacache.placement.checks import WireValueError, integer, octets, sequence, shown, text


def test_what_fits_is_returned_as_it_is() -> None:
    assert integer(5, "port", 1, 5) == 5
    assert text("né", "name", 1, 2) == "né"
    assert octets(b"ab", "id", 2) == b"ab"
    assert sequence([1], "list", 1, 1) == [1]


@pytest.mark.parametrize(
    "check",
    [
        lambda: integer(True, "port", 0, 5),
        lambda: integer(6, "port", 1, 5),
        lambda: integer(1.0, "port", 1, 5),
        lambda: text("", "port", 1, 5),
        lambda: text("a\n", "port", 1, 5),
        lambda: text("\ud800", "port", 1, 5),
        lambda: text(b"a", "port", 1, 5),
        lambda: octets(bytearray(2), "port", 2),
        lambda: octets(b"a", "port", 2),
        lambda: sequence("ab", "port", 1, 5),
        lambda: sequence([], "port", 1, 5),
    ],
)
def test_what_does_not_fit_is_named(check: Callable[[], object]) -> None:
    with pytest.raises(WireValueError, match=r"^port: got .*, expected ") as caught:
        check()
    assert isinstance(caught.value, ProtocolError)
    assert isinstance(caught.value, ValueError)


@given(st.one_of(st.binary(), st.text(), st.integers(), st.lists(st.integers(), max_size=200)))
def test_what_is_shown_fits_a_message(value: object) -> None:
    assert len(shown(value)) <= 330
    assert shown(value).isprintable()


def test_a_long_number_is_cut() -> None:
    assert len(shown(10**500)) < 90
