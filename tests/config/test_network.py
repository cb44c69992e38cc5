"""Network settings: safe by default."""

from typing import Any

import pytest

from dynacache.config.network import NetworkConfig, is_loopback
from dynacache.errors import InvalidOption


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("example", False),
    ],
)  # an address to refuse
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_another_address_needs_a_secret() -> None:
    with pytest.raises(InvalidOption, match=r"10\.0\.0\.1.*loopback.*secret"):
        NetworkConfig(host="10.0.0.1")
    assert NetworkConfig(host="10.0.0.1", secret="s").host == "10.0.0.1"


def test_the_secret_is_not_shown() -> None:
    assert "hush" not in repr(NetworkConfig(secret="hush"))


@pytest.mark.parametrize(
    "options", [{"port": -1}, {"port": 65_536}, {"name": "x" * 65}, {"name": "a\n"}, {"weight": 0}]
)
def test_what_cannot_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=next(iter(options))):
        NetworkConfig(**options)
