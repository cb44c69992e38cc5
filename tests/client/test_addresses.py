"""Addresses as people write them."""

import pytest

from dynacache.client.addresses import parse_addresses
from dynacache.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:7401", (("127.0.0.1", 7401),)),
        ("cache.example", (("cache.example", 7400),)),
        ("[::1]:9", (("::1", 9),)),
        ("[::1]", (("::1", 7400),)),
        ("::1", (("::1", 7400),)),
        ("a:1, b:2,a:1,", (("a", 1), ("b", 2))),
        (["a:1", "b:2,c:3"], (("a", 1), ("b", 2), ("c", 3))),
    ],
)
def test_parse(text: str | list[str], expected: tuple[tuple[str, int], ...]) -> None:
    assert parse_addresses(text) == expected


@pytest.mark.parametrize("text", ["", " , ", "a:0", "a:65536", "a:x", "a:", ":7400", "[::1", "[::1]7400", "a:²"])
def test_malformed_text_is_named(text: str) -> None:
    with pytest.raises(InvalidRequest, match="addresses: got"):
        parse_addresses(text)


def test_nothing_and_other_types_are_refused() -> None:
    with pytest.raises(InvalidRequest):
        parse_addresses([])
    with pytest.raises(InvalidRequest, match="7400"):
        parse_addresses([7400])  # type: ignore[list-item]
