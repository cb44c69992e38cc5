"""Command lines that invalidate: what is asked, and the exit codes."""

from collections.abc import Callable

import pytest

from tests.cli.conftest import Ran
from tests.cli.fakes import FakeClient

Command = Callable[..., Ran]


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (("invalidate", "key", "k", "--level", "all"), ("invalidate", "k", "all")),
        (("invalidate", "version", "k", "01ff"), ("invalidate_version", "k", b"\x01\xff", None)),
        (("invalidate", "tag", "red"), ("invalidate_tag", "red", True, None)),
        (("invalidate", "tag", "red", "--now", "--level", "one"), ("invalidate_tag", "red", False, "one")),
        (("invalidate", "pattern", "user:*"), ("invalidate_pattern", "user:*", True, None)),
        (("flush",), ("flush", True, None)),
        (("set", "k", "v", "--tag", "red", "--tag", "blue"), ("set", "k", "v", None, None, ("red", "blue"))),
    ],
)
def test_what_is_asked(command: Command, fake_client: FakeClient, arguments: tuple[str, ...], call: object) -> None:
    fake_client.values |= {b"k": "v"}
    assert command(*arguments).code == 0
    assert fake_client.calls == [call]


def test_what_was_not_there(command: Command, fake_client: FakeClient) -> None:
    assert command("invalidate", "key", "k") == Ran(3, "", "key 'k' had no value\n")
    assert command("invalidate", "version", "k", "00").code == 3
    assert command("invalidate", "version", "k", "no digits").code == 2
