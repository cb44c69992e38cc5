"""A scenario that once broke an invariant, kept as text: what it was, what it found, and which test guards the fix.

What: ``Regression`` is a scenario with its story; ``dumps`` and ``loads`` carry one to JSON and back, ``file_name``
says what its file is called.

Invariant: ``loads(dumps(r)) == r``. The text holds all options, operations and faults, so nothing of it is drawn again:
a change of what a seed draws, or of an option's default, leaves it as it is. Only the delays of single messages still
hang on the seed.

Why not the seed and the numbers of what was kept: they are shorter, and mean another run as soon as a draw changes,
without anybody noticing. Why one line for each operation and fault: the files are read and compared by people.
"""

import json
from typing import Any

import attrs

from .faults.schedule import Fault
from .history import OperationKind
from .options import Options
from .run import Scenario
from .workload import Operation, value_of

__all__ = ["Regression", "dumps", "file_name", "loads"]

_PARTS = ("invariant", "found", "fixed_by", "options", "operations", "faults")

_BYTES = frozenset({"tag", "pattern", "prefix", "namespace"})
"""Arguments of operations that are bytes, beside values."""


@attrs.frozen
class Regression:
    """One kept scenario."""

    invariant: str
    """The one that was violated."""
    found: str
    """What it showed, in one sentence."""
    fixed_by: str
    """The test beside the fix, as pytest names it; empty until there is one."""
    scenario: Scenario


def file_name(regression: Regression) -> str:
    """Return the name of its file: seed and invariant."""
    return f"seed-{regression.scenario.options.seed}-{regression.invariant.lower()}.json"


def dumps(regression: Regression) -> str:
    """Return it as JSON text."""
    scenario = regression.scenario
    values: dict[str, Any] = {
        "invariant": regression.invariant,
        "found": regression.found,
        "fixed_by": regression.fixed_by,
        "options": attrs.asdict(scenario.options),
    }
    lists = {
        "operations": [_operation_row(operation) for operation in scenario.operations],
        "faults": [[fault.at_s, fault.kind, fault.arguments] for fault in scenario.faults],
    }
    parts = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in values.items()]
    for name, rows in lists.items():
        lines = ",\n".join(f"    {json.dumps(row)}" for row in rows)
        parts.append(f"  {json.dumps(name)}: [\n{lines}\n  ]" if rows else f"  {json.dumps(name)}: []")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def loads(text: str) -> Regression:
    """Return what ``dumps`` made this text of; raises ValueError that says what is wrong with it."""
    read = json.loads(text)
    if not isinstance(read, dict) or sorted(read) != sorted(_PARTS):
        got = sorted(read) if isinstance(read, dict) else type(read).__name__
        raise ValueError(f"regression: got {got}, expected an object of {', '.join(_PARTS)}")
    try:
        operations = tuple(_operation(*row) for row in read["operations"])
        faults = tuple(Fault(*row) for row in read["faults"])
    except TypeError as error:
        raise ValueError(f"regression: a row has another length than expected: {error}") from error
    scenario = Scenario(_options(read["options"]), operations, faults)
    return Regression(read["invariant"], read["found"], read["fixed_by"], scenario)


def _options(given: dict[str, Any]) -> Options:
    """Return the options; one that is not in the text, because it is newer, has its default."""
    names = [field.name for field in attrs.fields(Options)]
    for name in given:
        if name not in names:
            raise ValueError(f"regression: got option {name!r}, expected some of {', '.join(names)}")
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return Options(**values)


def _operation_row(operation: Operation) -> list[Any]:
    """Return an operation as a list; a value that its number explains is kept as its size."""
    arguments = dict(operation.arguments)
    value = arguments.get("value")
    if isinstance(value, bytes):
        if value == value_of(operation.number, len(value)):
            del arguments["value"]
            arguments["value_bytes"] = len(value)
        else:
            arguments["value"] = value.decode("latin-1")
    for name in _BYTES & set(arguments):
        arguments[name] = arguments[name].decode("latin-1")
    if "tags" in arguments:
        arguments["tags"] = [tag.decode("latin-1") for tag in arguments["tags"]]
    key = operation.key.decode("latin-1")
    return [operation.number, operation.at_s, operation.client, operation.kind.value, key, arguments]


def _operation(number: int, at_s: float, client: int, kind: str, key: str, arguments: dict[str, Any]) -> Operation:
    arguments = dict(arguments)
    if "value_bytes" in arguments:
        arguments["value"] = value_of(number, arguments.pop("value_bytes"))
    elif "value" in arguments:
        arguments["value"] = arguments["value"].encode("latin-1")
    for name in _BYTES & set(arguments):
        arguments[name] = arguments[name].encode("latin-1")
    if "tags" in arguments:
        arguments["tags"] = [tag.encode("latin-1") for tag in arguments["tags"]]
    return Operation(number, at_s, client, OperationKind(kind), key.encode("latin-1"), arguments)
