"""The tree of errors: one code each, whose fault, definite or not."""

import re

import pytest

from dynacache import errors
from dynacache.errors import DynacacheError, UncertainError, error_from_code

ALL = [getattr(errors, name) for name in errors.__all__ if isinstance(getattr(errors, name), type)]


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [error.code for error in ALL]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_a_code_leads_back_to_its_error(error: type[DynacacheError]) -> None:
    assert type(error_from_code(error.code, "text")) is error
    assert str(error_from_code(error.code, "text")) == "text"


def test_an_unknown_code_is_read_as_maybe_applied() -> None:
    assert isinstance(error_from_code(9_999, "from a later release"), UncertainError)


def test_only_uncertain_errors_are_not_definite() -> None:
    assert {error for error in ALL if not error.definite} == {
        error for error in ALL if issubclass(error, UncertainError)
    }


def test_the_tree_drawn_in_the_module_is_the_tree_there_is() -> None:
    assert errors.__doc__ is not None
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__)) | {"DynacacheError"}
    assert drawn == {error.__name__ for error in ALL}


def test_exit_codes_tell_success_and_misses_from_errors() -> None:
    assert all(error.exit_code not in (0, 3) for error in ALL)
