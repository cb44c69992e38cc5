"""Birth and placement settings refuse what cannot work, naming the value."""

from typing import Any

import pytest

from dynacache.config.cluster import ClusterConfig, parse_address
from dynacache.errors import InvalidOption


@pytest.mark.parametrize(
    ("text", "address"), [("a:1", ("a", 1)), ("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:7", ("::1", 7))]
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text, "seed") == address


@pytest.mark.parametrize("text", ["", "a", "a:", ":1", "a:b", "a:70000", "a:-1"])
def test_a_bad_address_is_named(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"seed: got .*, expected host:port"):
        parse_address(text, "seed")


@pytest.mark.parametrize(
    "options",
    [
        *({"founders": 0}, {"partition_count": 1000}, {"partition_count": 8}, {"replication_factor": 0}),
        *({"seeds": ["x"]}, {"auto_remove_after_s": -1.0}, {"join_undo_after_s": float("nan")}),
        {"change_interval_s": -0.1},
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=next(iter(options))):
        ClusterConfig(**options)
