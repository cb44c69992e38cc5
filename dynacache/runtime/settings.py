"""The configuration of a node from its sources: defaults < TOML file < environment < flags.

What: `load_config` returns a valid `Config` or raises `InvalidOption`, whose text is ``section.option: got X, expected
Y``. In the file, sections are tables; in the environment, ``DYNACACHE_SECTION_OPTION``; flags arrive as a map from
``section.option`` to a value.

Invariant: an option that does not exist is an error in a file and among flags, and so is a value that does not fit.
Nothing is loaded in half: the frozen configuration comes into being whole, with the checks across sections.

Why typed-settings' converter, with these switches, but not its loader: the converter turns texts into the types of
attrs fields. Lists are split at ``,``, as its default of ``:`` would cut every ``host:port`` in two, and paths are left
alone. Its loader reports errors as a nested group whose sentences do not name the option's value; merging four maps
here is shorter than taking those apart again, and the errors of the configuration's own checks pass through untouched.
"""

import difflib
import os
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from typed_settings.converters import TSConverter

from dynacache.config import Config
from dynacache.errors import InvalidOption

__all__ = ["ENVIRONMENT_PREFIX", "load_config"]

ENVIRONMENT_PREFIX: Final = "DYNACACHE_"
_SECRET_OPTIONS: Final = frozenset({"network.secret"})
_CONVERTER: Final = TSConverter(strlist_sep=",", resolve_paths=False)


def load_config(
    path: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """Merge all sources; raises InvalidOption. ``environment`` is the process's own if left out."""
    types = _option_types()
    merged: dict[str, object] = {} if path is None else _of_file(path)
    merged |= _of_environment(os.environ if environment is None else environment, types)
    merged |= overrides or {}
    sections: dict[str, dict[str, Any]] = {}
    for name, value in merged.items():
        if name not in types:
            raise InvalidOption(
                f"{name}: got {_shown(name, value)}, expected the name of an option{_hint(name, types)}"
            )
        section, _, option = name.partition(".")
        sections.setdefault(section, {})[option] = _converted(name, types[name], value)
    classes = _section_types()
    return Config(**{name: classes[name](**options) for name, options in sections.items()})


def _option_types() -> dict[str, Any]:
    """Every option as ``section.option``, with the type of its value."""
    return {
        f"{name}.{option.name}": option.type
        for name, section in _section_types().items()
        for option in attrs.fields(attrs.resolve_types(section))
        if option.init
    }


def _section_types() -> dict[str, Any]:
    return {section.name: section.type for section in attrs.fields(attrs.resolve_types(Config))}


def _of_file(path: Path) -> dict[str, object]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidOption(f"configuration file {path}: expected a readable TOML file: {reason}") from error
    found: dict[str, object] = {}
    for section, options in document.items():
        if not isinstance(options, dict):
            raise InvalidOption(f"{section}: got {options!r} in {path}, expected a table of options")
        found |= {f"{section}.{option}": value for option, value in options.items()}
    return found


def _of_environment(environment: Mapping[str, str], types: Mapping[str, Any]) -> dict[str, object]:
    """Variables with our prefix that name no option are left alone: other tools of ours read some of them."""
    names = {name: ENVIRONMENT_PREFIX + name.upper().replace(".", "_") for name in types}
    return {name: environment[variable] for name, variable in names.items() if variable in environment}


def _converted(name: str, wanted: Any, value: object) -> Any:
    if value is None or (isinstance(value, str) and value == "" and wanted == tuple[str, ...]):
        value = () if wanted == tuple[str, ...] else value
    if not _fits(wanted, value):
        raise InvalidOption(f"{name}: got {_shown(name, value)}, expected {_described(wanted)}")
    try:
        return _CONVERTER.structure(value, wanted)
    except (ValueError, TypeError) as error:
        raise InvalidOption(f"{name}: got {_shown(name, value)}, expected {_described(wanted)}") from error


def _fits(wanted: Any, value: object) -> bool:
    """A text is converted; anything else must be of the type already, as a flag or TOML knows it."""
    if isinstance(value, str):
        return True
    if isinstance(value, bool):
        return wanted is bool
    if isinstance(value, list | tuple):
        return wanted == tuple[str, ...] and all(isinstance(each, str) for each in value)
    kinds = typing.get_args(wanted) or (wanted,)
    return type(value) in kinds or (isinstance(value, int) and float in kinds)


def _described(wanted: Any) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    if wanted == tuple[str, ...]:
        return "a list of texts"
    kinds = [kind for kind in typing.get_args(wanted) or (wanted,) if kind is not type(None)]
    return " or ".join(words.get(kind, str(kind)) for kind in kinds)


def _shown(name: str, value: object) -> str:
    return "a secret" if name in _SECRET_OPTIONS else repr(value)


def _hint(name: str, types: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, types, n=1)
    return f" such as {close[0]}" if close else ""
