"""The structure of the project, enforced: ranks, who may touch the world, sizes, docs, layout, no machine's details.

The rules stand in `architecture_rules.py`. Here they run over the project, and each is shown to find a made-up breach.
"""

import re
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.architecture_rules import (
    FUNCTION_LINES_LIMIT,
    MODULE_LINES_LIMIT,
    PRODUCT_RULES,
    ROOT,
    SIMULATOR_RULES,
    TEST_RULES,
    Module,
    Rule,
    documented_names,
    expected_test_path,
    export_order,
    import_ranks,
    no_ambient_world,
    project_modules,
    schedulers_only_in_runtime,
    simulator_imports,
    sizes,
    sorted_exports,
    theory_docstring,
)

PRODUCT = project_modules("dynacache")
SIMULATOR = project_modules("sim")
TESTS = project_modules("tests")
TOP_LEVEL_FOLDERS = {"dynacache", "tests", "sim", "docs"}
# Written in two halves, so that this file does not break its own rule.
REGISTRY_HOSTS = ("pypi" + ".org", "python" + "hosted", "index" + "-url", "find" + "-links", "trusted" + "-host")
MACHINE_PATHS = ("/ro" + "ot/", "/ho" + "me/", "/wo" + "rk/", "/opt/" + "wheels")


@pytest.mark.parametrize("rule", PRODUCT_RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("module", PRODUCT, ids=lambda module: str(module.path))
def test_product(module: Module, rule: Rule) -> None:
    assert rule(module) == []


@pytest.mark.parametrize("rule", SIMULATOR_RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("module", SIMULATOR, ids=lambda module: str(module.path))
def test_simulator(module: Module, rule: Rule) -> None:
    assert rule(module) == []


@pytest.mark.parametrize("rule", TEST_RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("module", TESTS, ids=lambda module: str(module.path))
def test_tests(module: Module, rule: Rule) -> None:
    assert rule(module) == []


@pytest.mark.parametrize("module", [*PRODUCT, *SIMULATOR], ids=lambda module: str(module.path))
def test_each_module_has_its_tests(module: Module) -> None:
    expected = expected_test_path(module)
    assert expected is None or (ROOT / expected).is_file(), f"{module.path} has no {expected}"


def test_there_is_something_to_check() -> None:
    assert len(PRODUCT) >= 20
    assert {module.package for module in PRODUCT} >= {"storage", "node", "runtime", "cli"}
    assert {module.package for module in SIMULATOR} >= {"checkers", "world", "run"}


def test_top_level_folders() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))}
    assert folders - {"build", "dist"} <= TOP_LEVEL_FOLDERS


def test_constraints_are_names_and_versions() -> None:
    lines = (ROOT / ".ci/constraints.txt").read_text(encoding="utf-8").splitlines()
    assert lines, "no constraints"
    assert [line for line in lines if bad_constraint(line)] == []


def test_constraints_cover_every_direct_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    names = {canonical(requirement) for requirement in wanted} - {"dynacache"}
    pinned = {canonical(line) for line in (ROOT / ".ci/constraints.txt").read_text(encoding="utf-8").splitlines()}
    assert names - pinned == set()


def canonical(requirement: str) -> str:
    """The project a requirement names, as package indexes compare names."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def bad_constraint(line: str) -> bool:
    """Whether a line is anything but `name==version`."""
    return re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) is None


def test_no_registry_host_and_no_machine_path_in_any_file() -> None:
    assert [breach for path in project_files() for breach in machine_details(path.read_text(encoding="utf-8"))] == []


def project_files() -> Iterator[Path]:
    """Every text file that the project consists of."""
    suffixes = {".py", ".md", ".toml", ".txt", ".cfg", ".json", ".rst", ".typed", ""}
    places = [*(ROOT / folder for folder in sorted(TOP_LEVEL_FOLDERS)), ROOT / ".ci"]
    for path in [*(found for place in places for found in sorted(place.rglob("*"))), *sorted(ROOT.iterdir())]:
        inside = path.relative_to(ROOT).parts
        if path.is_file() and path.suffix in suffixes and not {"_build", "__pycache__", ".git"} & set(inside):
            yield path


def machine_details(text: str) -> list[str]:
    """Registry hosts, pip's index options and absolute paths of a machine that a text names."""
    return [word for word in (*REGISTRY_HOSTS, *MACHINE_PATHS) if word in text]


CLEAN = '''
"""What this is,
why it is so,
and where it comes from."""

import random
import sys

from dynacache.types import Key
from dynacache.wire.codec import encode

__all__ = ["LIMIT_BYTES", "Engine", "read"]

LIMIT_BYTES = 1
T = TypeVar("T")


class Engine:
    """Holds things."""


def read(random_source: random.Random) -> int:
    """Reads things."""
    return sys.getsizeof(random_source.random())
'''


@pytest.mark.parametrize("rule", PRODUCT_RULES, ids=lambda rule: rule.__name__)
def test_rules_accept_clean_code(rule: Rule) -> None:
    assert rule(Module.parse("dynacache/storage/made_up.py", CLEAN)) == []


STORAGE = "dynacache/storage/made_up.py"
SIMULATED = "sim/world/made_up.py"
RUNTIME = "dynacache/runtime/made_up.py"
AMBIENT_MODULES = (
    *("logging", "os", "pathlib", "rich", "secrets", "selectors", "socket", "structlog", "threading", "time", "uuid"),
)
BREACHES: list[tuple[Rule, str, str]] = [
    (import_ranks, STORAGE, "from dynacache.node import Node"),
    (import_ranks, STORAGE, "import dynacache.runtime.server"),
    (import_ranks, STORAGE, "from dynacache.membership.swim import Swim"),
    (import_ranks, STORAGE, "from dynacache import repair"),
    (import_ranks, STORAGE, "from . import engine"),
    (import_ranks, STORAGE, "from dynacache.unheard_of import x"),
    (import_ranks, STORAGE, "from tests.strategies import keys"),
    (import_ranks, STORAGE, "def late():\n    from dynacache.cli import main"),
    (import_ranks, "dynacache/types.py", "from dynacache.wire import codec"),
    (import_ranks, "dynacache/types.py", "from dynacache.errors import Refused"),
    (import_ranks, RUNTIME, "from dynacache.cli import main"),
    (import_ranks, "dynacache/stray.py", "x = 1"),
    (simulator_imports, SIMULATED, "from sim.draws import Draws"),
    (simulator_imports, SIMULATED, "import tests.fake_cluster"),
    (simulator_imports, SIMULATED, "from dynacache.runtime.server import Server"),
    (simulator_imports, SIMULATED, "def late():\n    import dynacache.cli"),
    (simulator_imports, SIMULATED, "from dynacache import runtime"),
    (schedulers_only_in_runtime, SIMULATED, "import trio"),
    (schedulers_only_in_runtime, "sim/runtime/made_up.py", "import trio"),
    (no_ambient_world, SIMULATED, "import time"),
    (no_ambient_world, "sim/cli/made_up.py", "import time"),
    (no_ambient_world, "sim/run.py", "import multiprocessing"),
    (schedulers_only_in_runtime, STORAGE, "import trio"),
    (schedulers_only_in_runtime, "dynacache/cli/made_up.py", "def run():\n    import trio"),
    (schedulers_only_in_runtime, "dynacache/node/made_up.py", "from anyio import sleep"),
    (schedulers_only_in_runtime, RUNTIME, "import asyncio"),
    *((no_ambient_world, STORAGE, f"import {name}") for name in AMBIENT_MODULES),
    (no_ambient_world, STORAGE, "from os import urandom"),
    (no_ambient_world, STORAGE, "from time import monotonic"),
    (no_ambient_world, STORAGE, "from random import choice"),
    (no_ambient_world, STORAGE, "import random\nx = random.random()"),
    (no_ambient_world, STORAGE, "import random\nx = random.SystemRandom()"),
    (no_ambient_world, STORAGE, "import random\nx = random.Random()"),
    (no_ambient_world, STORAGE, "import datetime\nx = datetime.datetime.now()"),
    (no_ambient_world, STORAGE, "import sys\nsys.stderr.write('x')"),
    *((no_ambient_world, STORAGE, f"x = {name}('x')") for name in ("hash", "id", "open", "print", "input", "eval")),
    (no_ambient_world, STORAGE, "async def read(): ..."),
    (theory_docstring, STORAGE, "x = 1"),
    (theory_docstring, STORAGE, '"""Too short."""'),
    (theory_docstring, "dynacache/storage/__init__.py", "__all__ = []"),
    (sorted_exports, STORAGE, "x = 1"),
    (sorted_exports, STORAGE, '__all__ = ["b", "a"]\na = b = 1'),
    (sorted_exports, STORAGE, '__all__ = ["read", "Engine"]\nclass Engine: ...\ndef read(): ...'),
    (sorted_exports, STORAGE, '__all__ = ["a"]\na: int = 1\nb: int = 2'),
    (sorted_exports, STORAGE, '__all__ = ["a", "a"]\na = 1'),
    (sorted_exports, "dynacache/storage/__init__.py", "from dynacache.storage.engine import Engine"),
    (documented_names, STORAGE, "class Engine: ..."),
    (documented_names, STORAGE, "def read(): ..."),
    (sizes, STORAGE, "x = 1\n" * (MODULE_LINES_LIMIT + 1)),
    (sizes, STORAGE, "class A:\n    def long(self):\n" + "        x = 1\n" * FUNCTION_LINES_LIMIT),
]


@pytest.mark.parametrize(("rule", "path", "source"), BREACHES)
def test_rules_find_breaches(rule: Rule, path: str, source: str) -> None:
    assert len(rule(Module.parse(path, source))) == 1


def test_every_rule_has_been_seen_red() -> None:
    assert {rule for rule, _, _ in BREACHES} == {*PRODUCT_RULES, *SIMULATOR_RULES, *TEST_RULES}


def test_runtime_and_cli_may_touch_the_world() -> None:
    source = "import time, socket, threading\nprint(open('x'))"
    assert no_ambient_world(Module.parse(RUNTIME, source)) == []
    assert schedulers_only_in_runtime(Module.parse(RUNTIME, "import trio, anyio")) == []
    assert no_ambient_world(Module.parse("sim/many.py", source)) == []


def test_the_simulator_may_use_the_cores() -> None:
    source = "from ..draws import Draws\nfrom dynacache.node import Node\nfrom dynacache.client.calls import Call"
    assert simulator_imports(Module.parse(SIMULATED, source)) == []


@pytest.mark.parametrize(
    ("module", "test"),
    [
        ("dynacache/types.py", "tests/test_types.py"),
        ("dynacache/a/b.py", "tests/a/test_b.py"),
        ("sim/a/b.py", "tests/sim/a/test_b.py"),
    ],
)
def test_where_tests_stand(module: str, test: str) -> None:
    assert expected_test_path(Module.parse(module, "")) == Path(test)


@pytest.mark.parametrize(
    "line", ["a @ https://example.com/a.whl", "a>=1", "--extra-" + REGISTRY_HOSTS[2], "a==1 --hash=sha256:00", "-e ."]
)
def test_bad_constraints_are_found(line: str) -> None:
    assert bad_constraint(line)


@pytest.mark.parametrize("word", [*REGISTRY_HOSTS, *MACHINE_PATHS])
def test_machine_details_are_found(word: str) -> None:
    assert machine_details(f"see {word}x") == [word]


def test_export_order_is_that_of_ruff() -> None:
    names = ["read", "V10", "V9", "Engine", "LIMIT_BYTES", "A", "ABC"]
    assert sorted(names, key=export_order) == ["ABC", "LIMIT_BYTES", "V9", "V10", "A", "Engine", "read"]
