"""What was once violated holds: every file of `regressions/` is replayed, and some seeds are run whole."""

import json
from pathlib import Path

import attrs
import pytest

from sim.faults.schedule import Fault
from sim.history import OperationKind
from sim.options import Options
from sim.planted.bug import active
from sim.regressions import Regression, dumps, file_name, loads
from sim.run import Scenario, draw_scenario, run, run_scenario
from sim.workload import Operation
from tests.sim.restored import RESTORED

FOLDER = Path(__file__).parent / "regressions"
ROOT = Path(__file__).resolve().parents[2]
STORED = sorted(FOLDER.glob("*.json"), key=lambda path: path.name)
SEEDS: tuple[int, ...] = (8, 17, 21, 22, 28, 41, 45, 70, 101, 454, 491, 561, 673, 680, 683, 904, 1147, 1301)
SEEDS += (1411, 2101, 2127, 2191, 2252, 2269, 2326, 2667, 2676, 3057, 3266, 4161, 4225, 4940, 5223)
"""Seeds that were violated once, or broke a judge, under the draws of their day."""


def kept(path: Path) -> Regression:
    return loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_what_was_stored_holds(path: Path) -> None:
    result = run_scenario(kept(path).scenario)
    assert (result.verdict, result.violations) == ("held", ()), kept(path).found


@pytest.mark.parametrize("name", sorted(RESTORED))
def test_what_was_stored_still_shows_the_bug_it_found(name: str) -> None:
    regression = kept(FOLDER / name)
    with active(RESTORED[name]):
        result = run_scenario(regression.scenario)
    assert regression.invariant in {violation.invariant for violation in result.violations}


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_what_was_stored_says_what_it_found_and_what_guards_it(path: Path) -> None:
    regression = kept(path)
    assert regression.found.endswith((".", ")"))
    assert path.name.startswith(file_name(regression).removesuffix(".json"))
    guard, _, name = regression.fixed_by.partition("::")
    assert f"def {name}(" in (ROOT / guard).read_text(encoding="utf-8")


def test_there_are_stored_ones() -> None:
    assert {path.name for path in STORED} >= set(RESTORED)
    assert len(RESTORED) >= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds_that_were_once_violated_hold(seed: int) -> None:
    assert run(seed).verdict == "held"


def made_up() -> Regression:
    operations = (
        Operation(3, 0.1 + 0.2, 1, OperationKind.SET, b"k\xff", {"level": 2, "value": b"3:......", "ttl_s": 1.5}),
        Operation(4, 1.0, 0, OperationKind.GET_AND_SET, b"k1", {"level": 2, "value": b"\x00another"}),
        Operation(5, 2.0, 0, OperationKind.GET, b"k1", {"level": 4, "full": True}),
    )
    faults = (Fault(1.5, "split", {"side": ["n1"], "duration_s": 2.0}),)
    options = Options(seed=9, nodes=5, fault_kinds=("split", "cut"), startup_faults=True)
    return Regression("I1", "A write is lost.", "", Scenario(options, operations, faults))


def test_a_regression_survives_its_text() -> None:
    assert loads(dumps(made_up())) == made_up()
    drawn = attrs.evolve(made_up(), scenario=draw_scenario(17))
    assert loads(dumps(drawn)) == drawn
    assert file_name(made_up()) == "seed-9-i1.json"


def test_the_text_is_small_and_has_a_line_for_each_event() -> None:
    lines = dumps(made_up()).splitlines()
    assert sum(line.startswith("    [") for line in lines) == 4
    assert '"value_bytes": 8' in dumps(made_up())
    empty = attrs.evolve(made_up(), scenario=Scenario(Options(), (), ()))
    assert loads(dumps(empty)) == empty


def test_an_option_that_is_newer_than_the_text_has_its_default() -> None:
    read = json.loads(dumps(made_up()))
    del read["options"]["zones"]
    assert loads(json.dumps(read)).scenario.options.zones == Options().zones


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("options", {"unheard_of": 1}, "got option 'unheard_of', expected some of seed,"),
        ("operations", [[1, 2.0]], "a row has another length"),
        ("operations", [[1, 2.0, 0, "jump", "k", {}]], "'jump' is not a valid OperationKind"),
        ("faults", [[1.0, "flood", {}]], "got kind 'flood'"),
        ("remark", "none", "expected an object of invariant, found"),
    ],
)
def test_a_text_that_is_none_is_refused(part: str, value: object, message: str) -> None:
    read = json.loads(dumps(made_up())) | {part: value}
    with pytest.raises(ValueError, match=message):
        loads(json.dumps(read))
    with pytest.raises(ValueError, match="got list"):
        loads("[]")
