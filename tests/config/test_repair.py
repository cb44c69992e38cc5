"""Bounds of the repair section are positive, and a confirmation fits between two exchanges."""

import attrs
import pytest

from dynacache.config.repair import RepairConfig
from dynacache.errors import InvalidOption


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(RepairConfig)])
def test_no_bound_may_be_zero(name: str) -> None:
    with pytest.raises(InvalidOption, match=f"{name}: got 0, expected"):
        RepairConfig(**{name: 0})


def test_a_confirmation_later_than_the_next_exchange_is_refused() -> None:
    with pytest.raises(InvalidOption, match=r"confirm_s: got 3\.0, expected at most exchange_interval_s"):
        RepairConfig(exchange_interval_s=2.0, confirm_s=3.0)


def test_a_rate_that_could_not_carry_a_message_in_time_is_refused() -> None:
    with pytest.raises(InvalidOption, match="repair_bytes_per_s: got 65535, expected at least 65536"):
        RepairConfig(repair_bytes_per_s=65_535)


def test_a_valid_value_is_taken() -> None:
    assert RepairConfig(session_limit=1).session_limit == 1
