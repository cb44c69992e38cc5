"""From flags to options of the configuration, and errors that end a start."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from dynacache.cli.serving import Flags, overrides_of
from dynacache.errors import InvalidOption
from dynacache.runtime.settings import load_config
from tests.cli.conftest import Ran


def test_flags_left_out_override_nothing() -> None:
    assert overrides_of(Flags()) == {}


def test_every_flag_reaches_the_configuration() -> None:
    flags = Flags(
        founders=3,
        join=True,
        seeds=("127.0.0.1:1", "127.0.0.1:2"),
        host="::1",
        port=7,
        advertise_host="localhost",
        name="n",
        zone="z",
        weight=2,
        memory="64MiB",
        secret="s",
        settings=("storage.eviction=noeviction", "network.idle_timeout_s = 12.5"),
    )
    config = load_config(None, overrides_of(flags), {})
    assert config.cluster.founders == 3
    assert config.cluster.join is True
    assert config.cluster.seeds == ("127.0.0.1:1", "127.0.0.1:2")
    network = config.network
    assert (network.host, network.port, network.advertise_host) == ("::1", 7, "localhost")
    assert (network.name, network.zone, network.weight, network.secret) == ("n", "z", 2, "s")
    assert network.idle_timeout_s == 12.5
    assert config.memory.limit_bytes == 64 * 2**20
    assert config.storage.eviction == "noeviction"


def test_no_flag_is_forgotten() -> None:
    """Every field of `Flags` changes what comes out, except the file, which is read elsewhere."""
    values: dict[str, Any] = {
        "founders": 1,
        "join": True,
        "port": 1,
        "weight": 1,
        "seeds": ("a:1",),
        "settings": ("a.b=c",),
        "memory": "1",
    }
    for field in attrs.fields(Flags):
        if field.name not in ("config", "secret_file"):
            assert overrides_of(Flags(**{field.name: values.get(field.name, "x")})), field.name


def test_named_flags_beat_assignments() -> None:
    assert overrides_of(Flags(port=1, settings=("network.port=2",)))["network.port"] == 1


def test_the_secret_comes_from_one_place(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("hidden\n")
    assert overrides_of(Flags(secret_file=path)) == {"network.secret": "hidden"}
    with pytest.raises(InvalidOption):
        overrides_of(Flags(secret="a", secret_file=path))


@pytest.mark.parametrize("text", ["", "a.b", "ab=c", "a.b.c=d", "=1"])
def test_assignments_that_are_none(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"expected section\.option=value"):
        overrides_of(Flags(settings=(text,)))


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("serve", "--set", "network.prot=1"), 2, "network.prot"),
        (("serve", "--founders", "0"), 2, "founders"),
        (("serve", "--host", "0.0.0.0", "--founders", "1"), 2, "secret"),
        (("serve", "--config", "/does/not/exist.toml"), 2, "/does/not/exist.toml"),
        (("serve", "--port", "0"), 12, "founders"),
    ],
)
def test_a_start_that_cannot_be(command: Callable[..., Ran], arguments: tuple[str, ...], code: int, part: str) -> None:
    ran = command(*arguments)
    assert ran.code == code
    assert part in ran.err
    assert "Traceback" not in ran.err
