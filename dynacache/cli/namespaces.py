"""The commands about namespaces: `namespaces list|show|set|drop`.

What: `listed` asks every member what each namespace holds there and what is set for it, and shows one row for each
namespace; `show` tells one in full; `change` and `drop` order any member to change settings.

Invariant: entries and bytes are those of all copies that the members hold now. Members that did not answer are named.
Where members do not agree on settings yet, the newest are shown and the others named.

The default namespace has no name; `DEFAULT_SIGN` stands for it on a command line and in tables, since no name can look
like it.
"""

from collections.abc import Mapping
from typing import Any

import attrs

from dynacache.cli.asking import Answered, ask_all, survey
from dynacache.cli.output import EXIT_NOT_FOUND, Answer, Rows
from dynacache.cli.session import CacheClient
from dynacache.cli.shown import cell, shown_bytes
from dynacache.errors import InvalidRequest, UnavailableError
from dynacache.namespaces.names import check_name
from dynacache.namespaces.settings import DEFAULTS

__all__ = ["DEFAULT_SIGN", "change", "drop", "listed", "name_of", "options_of", "show"]

DEFAULT_SIGN = "."
"""The default namespace, where a name is expected."""

_LEVELS = {"one": 1, "quorum": 2, "strict_quorum": 3, "all": 4}
_COLUMNS = ("namespace", "entries", "bytes", "settings")
_SPANS = ("default_ttl_ms", "maximum_ttl_ms")
_DEFAULTS = DEFAULTS.to_map()
_UNSET = {
    "default_read_level": "as the node",
    "default_write_level": "as the node",
    "eviction": "as the rest",
    "compression": "none",
    "replication_factor": "as the cluster",
}
"""What an empty setting means."""


def name_of(text: str) -> str:
    """The namespace that a command line names. Raises InvalidRequest."""
    if not text:
        raise InvalidRequest(f"namespace: got an empty name, expected one, or {DEFAULT_SIGN} for the default namespace")
    return "" if text == DEFAULT_SIGN else check_name(text)


def options_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an order: what was given, times in seconds as milliseconds. Raises InvalidRequest."""
    options = {name: value for name, value in given.items() if value is not None}
    for name in ("default_ttl", "maximum_ttl"):
        if name in options:
            seconds = options.pop(name)
            if not 0 <= seconds < 2**40:
                raise InvalidRequest(f"--{name.replace('_', '-')}: got {seconds}, expected seconds, 0 for none")
            options[f"{name}_ms"] = round(seconds * 1000)
    return options


def listed(client: CacheClient, view: str | None = None) -> Answer:
    """Show every namespace that any member holds."""
    answers = ask_all(client, survey(client, view).present, "namespaces")
    found = _gathered(answers)
    rows = tuple(
        (name or DEFAULT_SIGN, row["entries"], shown_bytes(row["bytes"]), _shown_settings(row["settings"]))
        for name, row in found.items()
    )
    other = sum(each.report.get("other", {}).get("entries", 0) for each in answers.values())
    remarks = [f"{other} entries are in namespaces beyond those that a node counts apart"] if other else []
    remarks += [f"{name or DEFAULT_SIGN}: {_behind(row)}" for name, row in found.items() if row["behind"]]
    title = f"namespaces ({DEFAULT_SIGN} is the default one); entries and bytes of all copies"
    return _answer(answers, {"namespaces": list(found.values()), "other": other}, Rows(title, _COLUMNS, rows), remarks)


def show(client: CacheClient, text: str, view: str | None = None) -> Answer:
    """Show the settings of one namespace and what each member holds of it."""
    name = name_of(text)
    answers = ask_all(client, survey(client, view).present, "namespaces", name)
    row = _gathered({node: Answered({"namespaces": [each.report]}) for node, each in answers.items() if each.report})
    if not row:
        raise UnavailableError("no member answers")
    known = row[name]
    settings = Rows(
        f"settings of {text}, version {known['version']}",
        ("setting", "is", "default"),
        tuple(
            (_label(key), _shown(key, value), _shown(key, _DEFAULTS.get(key)))
            for key, value in known["settings"].items()
        ),
    )
    held = Rows(
        "held",
        ("node", "entries", "bytes"),
        tuple(
            (node, each.report["entries"], shown_bytes(each.report["bytes"]))
            for node, each in answers.items()
            if each.report
        ),
    )
    remarks = (*_silent(answers), *([_behind(known)] if known["behind"] else []))
    unknown = not known["is_set"] and not known["entries"]
    complaint = f"nobody has set anything for namespace {text}, and no member holds an entry of it" if unknown else ""
    return Answer(
        known, tables=(settings, held), remarks=remarks, complaint=complaint, exit_code=EXIT_NOT_FOUND if unknown else 0
    )


def change(client: CacheClient, text: str, options: Mapping[str, Any], version: int | None, level: str) -> Answer:
    """Change settings; refused if ``version`` is given and not the one in force."""
    if not options:
        raise InvalidRequest("namespaces set: got no setting, expected at least one (see --help)")
    return _ordered(client, "namespace_set", {"name": name_of(text), "options": dict(options)}, version, level)


def drop(client: CacheClient, text: str, version: int | None, level: str) -> Answer:
    """Set a namespace back to the defaults, and invalidate what it holds."""
    answer = _ordered(client, "namespace_drop", {"name": name_of(text)}, version, level)
    return attrs.evolve(answer, text=f"{answer.text}; what it held is invalidated")


def _ordered(client: CacheClient, command: str, arguments: dict[str, Any], version: int | None, level: str) -> Answer:
    arguments["write_level"] = _LEVELS[level]
    if version is not None:
        arguments["version"] = version
    told = client.command(command, arguments)
    name = told["name"] or DEFAULT_SIGN
    return Answer(told, text=f"{name}: {_shown_settings(told['settings'])} (version {told['version']})")


def _gathered(answers: Mapping[str, Answered]) -> dict[str, dict[str, Any]]:
    """One row for each namespace: the newest settings, the sums, and which nodes have older settings."""
    found: dict[str, dict[str, Any]] = {}
    versions: dict[str, dict[str, int]] = {}
    for node, answered in answers.items():
        for row in answered.report.get("namespaces", ()):
            known = found.setdefault(row["name"], {**row, "entries": 0, "bytes": 0})
            if row["version"] > known["version"]:
                known |= {field: row[field] for field in ("version", "settings", "is_set")}
            known["entries"] += row["entries"]
            known["bytes"] += row["bytes"]
            versions.setdefault(row["name"], {})[node] = row["version"]
    for name, row in found.items():
        told = versions[name]
        if row["version"]:
            row["behind"] = [node for node in answers if answers[node].report and told.get(node, 0) < row["version"]]
        else:
            row["behind"] = []
    return dict(sorted(found.items()))


def _behind(row: Mapping[str, Any]) -> str:
    return f"these settings have not reached {', '.join(row['behind'])} yet"


def _shown_settings(settings: Mapping[str, Any]) -> str:
    changed = {key: value for key, value in settings.items() if value != _DEFAULTS.get(key)}
    return ", ".join(f"{_label(key)} {_shown(key, value)}" for key, value in changed.items()) or "defaults"


def _label(key: str) -> str:
    """A setting as tables name it: spans are shown with their unit, so the name goes without."""
    return key.removesuffix("_ms")


def _shown(key: str, value: Any) -> object:
    if key in _SPANS:
        return f"{value / 1000:g} s" if value else "none"
    if key == "memory_share":
        return f"{100 * value:.0f} %" if value else "none"
    return cell(_UNSET.get(key, "none") if value in ("", 0) and not isinstance(value, bool) else value)


def _silent(answers: Mapping[str, Answered]) -> tuple[str, ...]:
    return tuple(f"{node}: {each.error}" for node, each in answers.items() if not each.report)


def _answer(answers: Mapping[str, Answered], record: dict[str, Any], rows: Rows, remarks: list[str]) -> Answer:
    record["silent"] = {node: each.error for node, each in answers.items() if not each.report}
    return Answer(record, tables=(rows,), remarks=(*remarks, *_silent(answers)))
