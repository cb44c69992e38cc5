"""How commands answer: one record, shown as text, as a table or as one line of JSON, and an exit code.

What: a command's body returns an `Answer`; `show` prints it. Errors go to standard error as one sentence.

Invariant: standard output holds the answer and nothing else; with ``--output json`` it is exactly one JSON document,
whatever the value: bytes that are not text appear as ``{"base64": ...}``, which no other value can be mistaken for, as
a map that really has that one key is wrapped likewise.

Exit codes: 0 done, 1 another failure, 2 usage, 3 key not found (or a condition that did not hold), 4 unavailable,
5 maybe applied, 6 protocol, 9 to 15 start-up and hello (`dynacache.errors`).
"""

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TextIO

import attrs

from dynacache.errors import DynacacheError

__all__ = ["EXIT_NOT_FOUND", "Answer", "Output", "Rows", "jsonable", "show", "tell_error"]

Output = Literal["table", "json"]

EXIT_NOT_FOUND = 3


@attrs.frozen
class Rows:
    """A table: a title, the names of its columns, and its cells."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


@attrs.frozen
class Answer:
    """What a command found out."""

    record: Mapping[str, Any]
    """For ``--output json``."""
    text: str = ""
    """For people: printed as it is, with a line end."""
    tables: tuple[Rows, ...] = ()
    remarks: tuple[str, ...] = ()
    """Sentences for people, after the tables."""
    complaint: str = ""
    """One sentence for standard error."""
    exit_code: int = 0


def jsonable(value: Any) -> Any:
    """A value as JSON can carry it; bytes become text where they are UTF-8, else ``{"base64": ...}``."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Mapping):
        plain = {_json_key(key): jsonable(each) for key, each in value.items()}
        return {"map": plain} if set(plain) in ({"base64"}, {"map"}) else plain
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [jsonable(each) for each in value]
    return value


def _json_key(key: Any) -> str:
    if isinstance(key, str):
        return key
    plain = jsonable(key)
    return plain if isinstance(plain, str) else json.dumps(plain)


def show(answer: Answer, output: Output, stream: TextIO | None = None, errors: TextIO | None = None) -> int:
    """Print an answer; return its exit code."""
    stream = stream or sys.stdout
    if output == "json":
        print(json.dumps({name: jsonable(each) for name, each in answer.record.items()}), file=stream)
    else:
        if answer.text:
            print(answer.text, file=stream)
        for table in answer.tables:
            _print_table(table, stream)
        for remark in answer.remarks:
            print(remark, file=stream)
    if answer.complaint:
        print(answer.complaint, file=errors or sys.stderr)
    return answer.exit_code


def _print_table(rows: Rows, stream: TextIO) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if rows.title:
        print(rows.title, file=stream)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in rows.columns:
        table.add_column(column, overflow="fold")
    for row in rows.rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    # Piped into another program a table is not cut to the width of a terminal that is not there.
    Console(file=stream, width=None if stream.isatty() else 200, highlight=False).print(table)


def tell_error(error: DynacacheError | OSError | ValueError, errors: TextIO | None = None) -> int:
    """Print an error as one sentence; return the exit code that stands for it."""
    sentence = " ".join(str(error).split()) or type(error).__name__
    print(f"dynacache: {sentence}", file=errors or sys.stderr)
    return error.exit_code if isinstance(error, DynacacheError) else 1
