"""The rules of the code base as functions from one parsed module to the breaches found in it.

Each rule reads the syntax tree and returns sentences, an empty list where the rule holds. They are functions so that
`test_architecture.py` can run them twice: over every module of the project, where they must find nothing, and over
made-up snippets that break them, where they must find the breach; a rule that has never been seen red proves nothing.

The order of packages is the path of data through a node. A module imports only from packages of a lower rank or from
its own package; packages of the same rank meet in the node alone. The simulator stands beside the node's runtime: it
drives the node core and the client core, and knows nothing above them.
"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parent.parent

RANKS: dict[str, float] = {
    # The three of rank 0 in this order: an option's error is one of the tree.
    "types": 0,
    "errors": 0.1,
    "config": 0.2,
    **dict.fromkeys(("versioning", "placement", "namespaces"), 1),
    "datatypes": 2,
    "wire": 3,
    "events": 4,
    **dict.fromkeys(("storage", "membership", "coordination", "repair", "caching", "observability", "client"), 5),
    "gateway": 5,
    "node": 6,
    "runtime": 7,
    "cli": 8,
}
WORLDLY = ("runtime", "cli")
SIMULATOR_RANK = 7
"""The simulator uses what is below: the cores, never a shell."""
SIMULATOR_STAND_IN = "dynacache.simulator"
"""What a checkout has in the place where a wheel carries the simulator; it has no rank."""
SIMULATOR_WORLDLY = (
    "sim.__main__", "sim.cli", "sim.explain", "sim.fixture", "sim.many", "sim.planted.command", "sim.ring.command",
    "sim.speed", "sim.studies",
)  # fmt: skip
"""Modules of the simulator that know real time, terminals, processes or pytest; a run itself knows none of these."""
PLANTED_BUGS = tuple(
    f"sim/planted/{name}.py"
    for name in (
        *(
            "changes",
            "factors",
            "healing",
            "invalidation",
            "membership",
            "namespaces",
            "replication",
            "rules",
            "storage",
        ),
        "versions",
    )
)
"""Chapters of one catalogue, which one test goes through."""
MODULE_LINES_LIMIT = 400
FUNCTION_LINES_LIMIT = 70
DOCSTRING_LINES_MINIMUM = 3

SCHEDULERS = {"anyio", "asyncio", "trio"}
WORLDLY_IMPORTS = {
    *("concurrent", "fcntl", "glob", "io", "logging", "mmap", "multiprocessing", "os", "pathlib", "platform"),
    *("resource", "secrets", "select", "selectors", "shutil", "signal", "socket", "ssl", "structlog", "subprocess"),
    *("tempfile", "threading", "time", "urllib", "uuid", "_thread"),
}
CLI_IMPORTS = {"cyclopts", "rich"}
FORBIDDEN_CALLS = {"breakpoint", "eval", "exec", "hash", "id", "input", "open", "print"}
FORBIDDEN_ATTRIBUTES = {
    *("datetime.now", "datetime.today", "datetime.utcnow", "date.today"),
    *("sys.stdin", "sys.stdout", "sys.stderr", "sys.argv"),
}


@attrs.frozen
class Module:
    """One parsed source file: its dotted name, its path from the project's root, its text and its syntax tree."""

    name: str
    path: Path
    source: str
    tree: ast.Module

    @classmethod
    def parse(cls, path: str, source: str) -> "Module":
        """Parse `source` as if it stood at `path` (relative to the project's root)."""
        relative = Path(path)
        parts = relative.with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        return cls(name, relative, source, ast.parse(source))

    @property
    def package(self) -> str:
        """The name under `dynacache` that has a rank; empty for the root package itself."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""

    @property
    def is_package_init(self) -> bool:
        """Whether this is an `__init__.py`."""
        return self.path.name == "__init__.py"


Rule = Callable[[Module], list[str]]


def project_modules(folder: str) -> list[Module]:
    """Every module under a top-level folder, in the order of their paths."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    return [Module.parse(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in paths]


def imported_names(module: Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported, at any depth: `from a import b` gives `a.b`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{prefix}.{alias.name}") for alias in node.names)


def import_ranks(module: Module) -> list[str]:
    """A module imports only from lower ranks or from its own package."""
    breaches = []
    own = module.package
    if own and own not in RANKS and own != "__main__" and module.name != SIMULATOR_STAND_IN:
        breaches.append(f"package {own!r} has no rank")
    own_rank = RANKS.get(own, 9)
    for line, name in imported_names(module):
        if name.startswith("."):
            breaches.append(f"line {line}: relative import {name}")
            continue
        parts = name.split(".")
        if parts[0] in ("tests", "sim"):
            breaches.append(f"line {line}: {parts[0]} is not part of the product")
        if parts[0] != "dynacache" or len(parts) < 2 or parts[1] == own:
            continue
        rank = RANKS.get(parts[1])
        if rank is None:
            if own:
                breaches.append(f"line {line}: {name} is not in a package with a rank")
        elif own and rank >= own_rank:
            breaches.append(f"line {line}: {own} (rank {own_rank}) imports {parts[1]} (rank {rank})")
    return breaches


def simulator_imports(module: Module) -> list[str]:
    """The simulator names its own modules relatively, because a wheel renames it, and of the product only the cores."""
    breaches = []
    for line, name in imported_names(module):
        parts = name.split(".")
        if parts[0] in ("tests", "sim"):
            breaches.append(f"line {line}: {name}, expected a relative import or none")
        if parts[0] == "dynacache" and len(parts) > 1 and RANKS.get(parts[1], 9) >= SIMULATOR_RANK:
            breaches.append(f"line {line}: the simulator imports {parts[1]}, which is above the cores")
    return breaches


def schedulers_only_in_runtime(module: Module) -> list[str]:
    """Trio and anyio are imported in `runtime/` only; asyncio nowhere."""
    may = module.name.startswith("dynacache.runtime.") or module.name == "dynacache.runtime"
    return [
        f"line {line}: imports {name.split('.')[0]}"
        for line, name in imported_names(module)
        if name.split(".")[0] in SCHEDULERS and (not may or name.split(".")[0] == "asyncio")
    ]


def no_ambient_world(module: Module) -> list[str]:
    """Outside `runtime/` and `cli/`: no clock, randomness, socket, file, thread, process, log, or `await`."""
    if module.name in SIMULATOR_WORLDLY or (module.package in WORLDLY and module.path.parts[0] == "dynacache"):
        return []
    breaches = []
    for line, name in imported_names(module):
        top = name.split(".")[0]
        if top in WORLDLY_IMPORTS:
            breaches.append(f"line {line}: imports {top}")
        if top in CLI_IMPORTS:
            breaches.append(f"line {line}: imports {top}, which belongs to cli")
        if top == "random" and name not in ("random", "random.Random"):
            breaches.append(f"line {line}: imports {name}; only random.Random may be named")
    for node in ast.walk(module.tree):
        breaches.extend(_ambient_expression(node))
    return breaches


def _ambient_expression(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
        yield f"line {node.lineno}: protocol code is never asynchronous"
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called in FORBIDDEN_CALLS:
            yield f"line {node.lineno}: calls {called}()"
        if called in ("random.Random", "Random") and not node.args and not node.keywords:
            yield f"line {node.lineno}: random.Random() without a seed draws from the system"
    if isinstance(node, ast.Attribute):
        dotted = ast.unparse(node)
        if re.fullmatch(r"random\.\w+", dotted) and dotted != "random.Random":
            yield f"line {node.lineno}: uses the shared generator {dotted}"
        if any(dotted == name or dotted.endswith(f".{name}") for name in FORBIDDEN_ATTRIBUTES):
            yield f"line {node.lineno}: uses {dotted}"


def theory_docstring(module: Module) -> list[str]:
    """Each module opens with what it is and why; a package's own files may say it in one line."""
    text = ast.get_docstring(module.tree)
    if text is None:
        return ["has no docstring"]
    minimum = 1 if module.path.name in ("__init__.py", "__main__.py") else DOCSTRING_LINES_MINIMUM
    lines = len(text.splitlines())
    return [] if lines >= minimum else [f"docstring of {lines} lines, expected at least {minimum}"]


def public_definitions(module: Module) -> list[tuple[str, ast.stmt]]:
    """Names without a leading underscore that the top level defines (imports apart), with their statements."""
    found: list[tuple[str, ast.stmt]] = []
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.append((node.name, node))
        elif isinstance(node, ast.Assign) and not _is_type_variable(node.value):
            names = (name for target in node.targets for name in ast.walk(target))
            found.extend((name.id, node) for name in names if isinstance(name, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.append((node.target.id, node))
    return [(name, node) for name, node in found if not name.startswith("_")]


def _is_type_variable(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) in ("ParamSpec", "TypeVar", "TypeVarTuple")


def export_order(name: str) -> tuple[int, list[str | int]]:
    """The order ruff gives to `__all__`: constants, classes, the rest; numbers inside names by value."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    parts = re.split(r"(\d+)", name)
    return kind, [int(part) if part.isdigit() else part for part in parts]


def exported_names(module: Module) -> list[str] | None:
    """The literal value of `__all__`, or None where there is none."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                return [str(name) for name in ast.literal_eval(node.value)]
    return None


def sorted_exports(module: Module) -> list[str]:
    """`__all__` is there, sorted, names only what exists, and names every public definition."""
    defined = [name for name, _ in public_definitions(module)]
    exported = exported_names(module)
    if exported is None:
        binds = defined or any(isinstance(node, ast.Import | ast.ImportFrom) for node in module.tree.body)
        return ["has no __all__"] if binds or not module.is_package_init else []
    breaches = []
    if exported != sorted(exported, key=export_order):
        breaches.append(f"__all__ is not sorted, expected {sorted(exported, key=export_order)}")
    if len(set(exported)) != len(exported):
        breaches.append("__all__ names something twice")
    missing = [name for name in defined if name not in exported]
    if missing:
        breaches.append(f"public but not in __all__: {', '.join(missing)}")
    return breaches


def documented_names(module: Module) -> list[str]:
    """Every public function and class of the top level has a docstring."""
    return [
        f"line {node.lineno}: {name} has no docstring"
        for name, node in public_definitions(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(node) is None
    ]


def sizes(module: Module) -> list[str]:
    """Modules of at most 400 lines, functions of at most 70."""
    breaches = []
    lines = len(module.source.splitlines())
    if lines > MODULE_LINES_LIMIT:
        breaches.append(f"{lines} lines, at most {MODULE_LINES_LIMIT}")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_LIMIT:
                breaches.append(f"line {node.lineno}: {node.name} has {length} lines, at most {FUNCTION_LINES_LIMIT}")
    return breaches


def expected_test_path(module: Module) -> Path | None:
    """Where the tests of a module stand; None for `__init__.py` and `__main__.py`."""
    if module.path.name in ("__init__.py", "__main__.py"):
        return None
    if module.path.as_posix() in PLANTED_BUGS:
        return Path("tests/sim/planted/test_catalogue.py")
    inside = module.path.relative_to("dynacache") if module.path.parts[0] == "dynacache" else module.path
    return Path("tests") / inside.parent / f"test_{inside.name}"


PRODUCT_RULES: tuple[Rule, ...] = (
    import_ranks,
    schedulers_only_in_runtime,
    no_ambient_world,
    theory_docstring,
    sorted_exports,
    documented_names,
    sizes,
)
SIMULATOR_RULES: tuple[Rule, ...] = (
    simulator_imports,
    schedulers_only_in_runtime,
    no_ambient_world,
    theory_docstring,
    sorted_exports,
    documented_names,
    sizes,
)
TEST_RULES: tuple[Rule, ...] = (sizes,)
