"""The command that runs a node: from flags to a configuration to `dynacache.runtime.server`.

What: `overrides_of` turns the named flags and every ``--set section.option=value`` into one map of option to value,
which the settings put on top of defaults, file and environment; `serve` runs the node until it is stopped.

Invariant: a node that cannot start says why in one sentence on standard error and ends with the exit code of that
error; a flag that names no option is refused before anything is opened.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from dynacache.cli.session import read_secret
from dynacache.cli.sizes import parse_size
from dynacache.errors import InvalidOption

__all__ = ["Flags", "overrides_of", "serve"]


@attrs.frozen
class Flags:
    """What `dynacache serve` was given; None where a flag was left out."""

    founders: int | None = None
    seeds: tuple[str, ...] = ()
    host: str | None = None
    port: int | None = None
    advertise_host: str | None = None
    name: str | None = None
    zone: str | None = None
    weight: int | None = None
    memory: str | None = None
    secret: str | None = None
    secret_file: Path | None = None
    config: Path | None = None
    settings: tuple[str, ...] = ()
    join: bool = False


def overrides_of(flags: Flags) -> dict[str, object]:
    """Option names (``section.option``) and values that flags put above every other source; raises InvalidOption."""
    overrides: dict[str, object] = dict(_assignments(flags.settings))
    named: Mapping[str, object] = {
        "cluster.founders": flags.founders,
        "cluster.seeds": flags.seeds or None,
        "cluster.join": flags.join or None,
        "network.host": flags.host,
        "network.port": flags.port,
        "network.advertise_host": flags.advertise_host,
        "network.name": flags.name,
        "network.zone": flags.zone,
        "network.weight": flags.weight,
        "network.secret": _secret_of(flags),
        "memory.limit_bytes": None if flags.memory is None else parse_size(flags.memory, "--memory"),
    }
    overrides |= {name: value for name, value in named.items() if value is not None}
    return overrides


def _assignments(settings: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or name.count(".") != 1:
            raise InvalidOption(f"--set: got {text!r}, expected section.option=value")
        pairs.append((name.strip(), value.strip()))
    return pairs


def _secret_of(flags: Flags) -> str | None:
    if flags.secret is not None and flags.secret_file is not None:
        raise InvalidOption("--secret and --secret-file exclude each other")
    return read_secret(flags.secret_file) if flags.secret_file is not None else flags.secret


def serve(flags: Flags) -> int:
    """Run a node until SIGTERM or SIGINT; return the exit code. Raises an error of the tree when it cannot start."""
    overrides = overrides_of(flags)
    from dynacache.runtime.server import run
    from dynacache.runtime.settings import load_config

    return run(load_config(flags.config, overrides))
