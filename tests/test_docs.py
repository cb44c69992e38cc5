"""The documentation says what the code says: paths exist; tables of codes, levels and messages agree with the code.

Whether the pages build is `just docs`; here is what a build cannot see.
"""

import re
from pathlib import Path

import pytest

from dynacache import errors
from dynacache.types import Level, MissReason
from dynacache.wire import messages
from sim.faults.schedule import FAULT_KINDS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def error_classes(root: type[errors.DynacacheError] = errors.DynacacheError) -> list[type[errors.DynacacheError]]:
    """The whole tree under `root`, itself included."""
    return [root, *(found for child in root.__subclasses__() for found in error_classes(child))]


def table_rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading of a page, without its two header lines."""
    text = (ROOT / page).read_text(encoding="utf-8").split(f"{heading}\n", 1)[1]
    rows = re.search(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert rows is not None, f"no table under {heading!r} in {page}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows[0].splitlines()[2:]]


def named_paths(text: str) -> list[str]:
    """Paths of the project that a page names in code spans."""
    return re.findall(r"`((?:dynacache|sim|tests|docs|\.ci)/[\w./-]*)", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_a_page_names_exists(page: Path) -> None:
    # `dynacache/a/b.py` and `tests/a/test_b.py` stand for any module.
    paths = [path for path in named_paths(page.read_text(encoding="utf-8")) if "/a/" not in path]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_named_paths_are_found() -> None:
    assert named_paths("see `dynacache/no/such.py`, `sim/x.py` and `tests/x.py::test_y`, not `a/b`") == [
        "dynacache/no/such.py",
        "sim/x.py",
        "tests/x.py",
    ]


def test_every_exit_code_is_in_the_table() -> None:
    documented: dict[str, int] = {}
    for code, _, names in table_rows("docs/operations.md", "## Exit codes"):
        documented |= dict.fromkeys(re.findall(r"`(\w+)`", names), int(code))
    for error in error_classes():
        # A leaf that the table does not name ends as its nearest named ancestor does.
        named = next((base.__name__ for base in error.__mro__ if base.__name__ in documented), None)
        assert error.exit_code == (documented[named] if named else 1), error.__name__


def test_every_level_is_in_the_table() -> None:
    documented = [row[0].strip("`") for row in table_rows("docs/client.md", "## Levels")]
    assert documented == [level.name.lower() for level in Level]


def test_every_event_of_the_log_is_in_the_table() -> None:
    documented = {
        name
        for row in table_rows("docs/events.md", "# Events in the log")
        for name in re.findall(r"`([\w.*]+)`", row[0])
    }
    code = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "dynacache").rglob("*.py")))
    noted = {name for call in re.findall(r"\b[Nn]ote\(([^)]*)", code) for name in re.findall(r'"(\w+\.\w+)"', call)}
    # Made of a state's name at run time.
    noted |= {"membership.*", "ring.removing", "ring.removed", "ring.own_place_left", "ring.own_place_removed"}
    assert len(noted) > 30
    assert documented == noted


def test_every_kind_of_fault_is_in_the_table() -> None:
    rows = table_rows("docs/simulator.md", "## What can go wrong")
    assert sorted(name for row in rows for name in code_spans(row[0])) == sorted(FAULT_KINDS)


def test_every_checker_is_in_the_table_of_its_invariant() -> None:
    rows = table_rows("docs/invariants.md", "## Promises of the system")
    named = {row[0]: re.findall(r"`sim/checkers/(i\d\d_\w+)\.py`", row[4]) for row in rows}
    checkers = sorted(path.stem for path in (ROOT / "sim/checkers").glob("i[0-9][0-9]_*.py"))
    assert checkers == sorted(name for names in named.values() for name in names)
    assert all(f"I{int(name[1:3])}" == number for number, names in named.items() for name in names)


def test_every_reason_of_a_miss_is_in_the_table() -> None:
    documented = {name for row in table_rows("docs/client.md", "## Misses have reasons") for name in code_spans(row[0])}
    assert documented == {reason.name.lower() for reason in MissReason}


def code_spans(text: str) -> list[str]:
    """What stands between single backticks."""
    return re.findall(r"`(\w+)`", text)


def test_every_message_kind_is_described_once() -> None:
    others = ("FLAG_", "PAYLOAD_", "PROTOCOL_", "CLIENT_REQUESTS", "PEER_MESSAGES", "WHOLE_GROUP", "TAKEN_")
    kinds = {name for name in messages.__all__ if not name.startswith(others) and "_LIMIT_" not in name}
    described = re.findall(r"^([A-Z_]+)  ", messages.__doc__ or "", re.MULTILINE)
    assert sorted(described) == sorted(kinds)
