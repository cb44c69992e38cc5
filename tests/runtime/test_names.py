"""Names become addresses without anybody waiting for it."""

import socket

import pytest
import trio

from dynacache.runtime import names as names_module
from dynacache.runtime.names import NAME_LIMIT, REFRESH_INTERVAL_S, Names


@pytest.fixture
def names() -> Names:
    return Names(socket.AF_INET)


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.7", "::1"])
def test_an_address_is_itself(names: Names, host: str) -> None:
    assert names.address_of(host) == host


async def test_a_name_is_unknown_until_it_was_looked_up(names: Names) -> None:
    assert names.address_of("localhost") is None
    await names.refresh()
    assert names.address_of("localhost") == "127.0.0.1"


async def test_a_name_is_looked_up_again_and_keeps_its_address_on_failure(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[str | None] = ["10.0.0.1", None, "10.0.0.2"]
    now_s = [0.0]

    async def look_up(_: Names, host: str) -> str | None:
        await trio.lowlevel.checkpoint()
        return answers.pop(0)

    monkeypatch.setattr(Names, "_look_up", look_up)
    monkeypatch.setattr(names_module, "monotonic_now", lambda: now_s[0])
    seen = []
    names.address_of("node")
    for moment_s in (1.0, 2.0, 2.0 + REFRESH_INTERVAL_S, 8.0 + REFRESH_INTERVAL_S):
        now_s[0] = moment_s
        await names.refresh()
        seen.append(names.address_of("node"))
    assert seen == ["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2"]
    assert answers == []


async def test_a_name_that_does_not_exist_stays_unknown(names: Names) -> None:
    names.address_of("no.such.host.invalid")
    names.address_of("a" * 300)
    await names.refresh()
    assert names.address_of("no.such.host.invalid") is None
    assert names.address_of("a" * 300) is None


def test_the_number_of_names_is_bounded(names: Names) -> None:
    for number in range(NAME_LIMIT + 10):
        names.address_of(f"name-{number}")
    assert names.address_of("127.0.0.1") is None
