"""Bounds of the transfer section."""

import attrs
import pytest

from dynacache.config.transfer import PAGE_LIMIT_BYTES, TransferConfig
from dynacache.errors import InvalidOption


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(TransferConfig)])
def test_no_bound_may_be_zero(name: str) -> None:
    with pytest.raises(InvalidOption, match=f"transfer.{name}: got 0, expected"):
        TransferConfig(**{name: 0})


def test_a_page_is_bounded_on_both_sides() -> None:
    assert TransferConfig(page_bytes=PAGE_LIMIT_BYTES).page_bytes == PAGE_LIMIT_BYTES
    for value in (4_095, PAGE_LIMIT_BYTES + 1):
        with pytest.raises(InvalidOption, match=f"transfer.page_bytes: got {value}, expected 4096 to"):
            TransferConfig(page_bytes=value)
