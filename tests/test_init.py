"""The package's public names: complete, sorted, resolved on first use."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dynacache
from dynacache import errors

STARTUP = {"StartupError", "AddressInUse", "InvalidOption", "NoSeedNorFounders", "SeedsUnreachable"}


@pytest.mark.parametrize("name", dynacache.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(dynacache, name).__name__ == name


def test_every_error_that_a_client_can_meet_is_public() -> None:
    own = {"DynacacheError", "FrameTooLarge", "error_from_code"}
    assert set(errors.__all__) - STARTUP - own <= set(dynacache.__all__)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(dynacache.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imported = [alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(imported) == sorted(dynacache.__all__) == dir(dynacache)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        dynacache.no_such_name  # noqa: B018


def test_importing_the_package_loads_no_scheduler() -> None:
    code = "import sys, dynacache; sys.exit(bool({'trio', 'anyio', 'asyncio', 'msgpack'} & sys.modules.keys()))"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=Path(dynacache.__file__).parents[1], check=False).returncode
        == 0
    )
