"""Precedence, and one clear sentence for every mistake."""

from pathlib import Path

import attrs
import pytest

from dynacache.config import Config
from dynacache.errors import InvalidOption
from dynacache.runtime.settings import load_config


def load(
    tmp_path: Path,
    text: str = "",
    overrides: dict[str, object] | None = None,
    environment: dict[str, str] | None = None,
) -> Config:
    path = tmp_path / "node.toml"
    path.write_text(text)
    return load_config(path, overrides, environment or {})


def test_defaults() -> None:
    assert load_config(None, None, {}) == Config()


def test_precedence(tmp_path: Path) -> None:
    text = '[network]\nport = 1\nzone = "file"\nname = "file"\nweight = 7\n'
    environment = {"DYNACACHE_NETWORK_PORT": "2", "DYNACACHE_NETWORK_ZONE": "environment", "OTHER": "x"}
    network = load(tmp_path, text, {"network.port": 3}, environment).network
    assert (network.port, network.zone, network.name, network.weight) == (3, "environment", "file", 7)


def test_seeds_from_every_source(tmp_path: Path) -> None:
    seeds = ("127.0.0.1:1", "[::1]:2")
    assert load(tmp_path, '[cluster]\nseeds = ["127.0.0.1:1", "[::1]:2"]\n').cluster.seeds == seeds
    assert load(tmp_path, environment={"DYNACACHE_CLUSTER_SEEDS": "127.0.0.1:1,[::1]:2"}).cluster.seeds == seeds
    assert load(tmp_path, overrides={"cluster.seeds": seeds}).cluster.seeds == seeds
    assert load(tmp_path, overrides={"cluster.seeds": "127.0.0.1:1,[::1]:2"}).cluster.seeds == seeds
    assert load(tmp_path, environment={"DYNACACHE_CLUSTER_SEEDS": ""}).cluster.seeds == ()


def test_texts_are_converted(tmp_path: Path) -> None:
    config = load(tmp_path, overrides={"cluster.founders": "3", "network.hello_timeout_s": "0.5"})
    assert config.cluster.founders == 3
    assert config.network.hello_timeout_s == 0.5
    assert load(tmp_path, "[network]\nhello_timeout_s = 2\n").network.hello_timeout_s == 2


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("network.port", "x", "network.port: got 'x', expected a whole number"),
        ("network.port", 1.5, "network.port: got 1.5, expected a whole number"),
        ("network.port", True, "network.port: got True, expected a whole number"),
        ("network.port", 70_000, "network.port: got 70000, expected a number between 0 and 65535"),
        ("network.zone", 5, "network.zone: got 5, expected a text"),
        ("network.hello_timeout_s", "soon", "network.hello_timeout_s: got 'soon', expected a number"),
        ("cluster.founders", "many", "cluster.founders: got 'many', expected a whole number"),
        ("cluster.founders", 0, "cluster.founders: got 0, expected a number between 1 and 1024"),
        ("cluster.seeds", [1], "cluster.seeds: got [1], expected a list of texts"),
        ("cluster.seeds", "here", "cluster.seeds: got 'here', expected host:port with a port between 0 and 65535"),
        ("network.prot", 1, "network.prot: got 1, expected the name of an option such as network.port"),
        ("secret", "x", "secret: got 'x', expected the name of an option"),
        ("network.host", "192.0.2.1", "network.host: got '192.0.2.1', expected a loopback address such as 127.0.0.1"),
    ],
)
def test_mistakes_are_told_in_one_sentence(tmp_path: Path, name: str, value: object, sentence: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        load(tmp_path, overrides={name: value})
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["network = 5\n", "[network\n", "[nowhere]\nx = 1\n", "[network]\nx = 1\n"])
def test_mistakes_in_the_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidOption):
        load(tmp_path, text)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"nowhere.toml: expected a readable TOML file: No such file"):
        load_config(tmp_path / "nowhere.toml", None, {})


def test_a_secret_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption) as caught:
        load(tmp_path, overrides={"network.secret": 5})
    assert "5" not in str(caught.value)
    assert "hush" not in repr(load(tmp_path, overrides={"network.secret": "hush"}))


def test_every_option_can_be_set_from_the_environment(tmp_path: Path) -> None:
    """Each option's own default, written as a text, loads as the default."""
    environment = {}
    for section in attrs.fields(Config):
        for option, value in attrs.asdict(getattr(Config(), section.name), recurse=False).items():
            if value is not None:
                text = ",".join(value) if isinstance(value, tuple) else str(value)
                environment[f"DYNACACHE_{section.name}_{option}".upper()] = text
    assert len(environment) > 50
    assert load(tmp_path, environment=environment) == Config()
