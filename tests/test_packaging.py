"""What an installed package holds: the simulator as `dynacache.simulator`, and no other name but `dynacache`.

The wheel is built for real and run from another folder, with nothing of this checkout on the path.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILD = "import sys; from hatchling.build import {0}; {0}(sys.argv[1])"
RUN_ONE = ("sim", "--seed", "1", "--no-faults", "--duration-s", "1", "--nodes", "3")


def build(hook: str, folder: Path) -> Path:
    """Build one archive of the project with its build backend; returns its path."""
    subprocess.run([sys.executable, "-c", BUILD.format(hook), str(folder)], cwd=ROOT, check=True, capture_output=True)
    (archive,) = folder.iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this checkout."""
    return zipfile.ZipFile(build("build_wheel", tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel was unpacked, as an installer does with one of pure Python."""
    folder = tmp_path_factory.mktemp("installed")
    wheel.extractall(folder)
    return folder


def ran_elsewhere(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder of its own; `-I` would hide the path, so the script's folder is what it sees first."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    environment["PYTHONPATH"] = str(installed)
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def modules(folder: Path) -> set[str]:
    """The modules under a folder, as paths."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*.py")}


def test_the_wheel_claims_one_name(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"dynacache"}


def test_the_wheel_carries_the_whole_simulator(installed: Path) -> None:
    assert modules(installed / "dynacache/simulator") == modules(ROOT / "sim")
    carried = installed / "dynacache/simulator/__init__.py"
    assert carried.read_bytes() == (ROOT / "sim/__init__.py").read_bytes()


def test_the_wheel_runs_a_seed_from_another_folder(installed: Path, tmp_path: Path) -> None:
    # The tests' own interpreter may know the checkout; what it finds first must be the wheel.
    where = ran_elsewhere(installed, tmp_path, "-c", "import dynacache.simulator as s; print(s.__file__)")
    assert where.stdout.startswith(str(installed)), where.stderr
    ran = ran_elsewhere(installed, tmp_path, "-m", "dynacache", *RUN_ONE)
    assert ran.returncode == 0, ran.stderr
    here = ran_elsewhere(ROOT, tmp_path, "-m", "dynacache", *RUN_ONE)
    assert ran.stdout == here.stdout
    assert ran.stdout.splitlines()[-1].endswith(" held")


def test_a_module_named_sim_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "sim.py").write_text("raise RuntimeError('somebody else')", encoding="utf-8")
    ran = ran_elsewhere(ROOT, tmp_path, "-m", "dynacache", "sim", "--help")
    assert ran.returncode == 0, ran.stderr


def test_the_wheel_has_no_folder_for_what_explain_keeps(installed: Path, tmp_path: Path) -> None:
    ran = ran_elsewhere(installed, tmp_path, "-m", "dynacache", "sim", "explain", "--seed", "1", "--store")
    assert (ran.returncode, ran.stdout) == (2, ""), ran.stderr
    assert "name one: --store PATH" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_many_seeds_run_in_processes_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    flags = ("--seeds", "2", "--jobs", "2", "--no-faults", "--duration-s", "1", "--nodes", "3")
    ran = ran_elsewhere(installed, tmp_path, "-m", "dynacache", "sim", "run", *flags)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("2 seeds: 2 held")


def test_the_source_archive_holds_the_simulator(tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(build("build_sdist", tmp_path)) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {"sim/__init__.py", "sim/run.py", "dynacache/simulator/__init__.py", "pyproject.toml"} <= names
