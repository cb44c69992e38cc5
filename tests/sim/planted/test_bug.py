from typing import Any

import pytest

from dynacache.placement.partitions import key_hash
from sim.history import OperationKind
from sim.options import Options
from sim.planted.bug import Bug, Patch, Script, active
from sim.run import run_scenario


class Product:
    """Something to break."""

    def answer(self) -> int:
        return 42

    @classmethod
    def name(cls) -> str:
        return cls.__name__


def bug(*patches: Patch) -> Bug:
    return Bug("broken", "I1", "does not work", patches, lambda: Script.of().scenario())


def twice(original: Any) -> Any:
    return lambda self: 2 * original(self)


def test_a_bug_is_on_inside_the_block_and_off_after_it() -> None:
    both = bug(Patch(Product, "answer", twice), Patch(Product, "name", lambda original: classmethod(lambda cls: "x")))
    with active(both):
        assert (Product().answer(), Product.name()) == (84, "x")
    assert (Product().answer(), Product.name()) == (42, "Product")
    with active(None):
        assert Product().answer() == 42


def test_a_bug_is_off_after_an_error_too() -> None:
    with pytest.raises(ZeroDivisionError), active(bug(Patch(Product, "answer", twice))):
        Product().answer() // 0
    assert Product().answer() == 42


def test_one_method_may_be_replaced_twice() -> None:
    with active(bug(Patch(Product, "answer", twice), Patch(Product, "answer", twice))):
        assert Product().answer() == 168
    assert Product().answer() == 42


def test_a_script_knows_the_owners_that_the_cluster_will_have() -> None:
    script = Script.of(nodes=5)
    script.set(0.5)
    result = run_scenario(script.scenario(), keep=True)
    assert result.evidence is not None
    assert result.evidence.owners[b"k0"] == script.owners()
    keys = script.keys_of(script.owners(), 3)
    assert [script.owners(key) for key in keys] == [script.owners()] * 3
    assert len({key_hash(key) for key in keys}) == 3


def test_a_script_is_as_long_as_it_says_and_in_order() -> None:
    script = Script.of(keys=2)
    script.set(3.0, size=10)
    script.at(1.0, OperationKind.DELETE)
    script.part(2.0, 4.0, ["n1"])
    script.hide(1.0, 2.0, 0, ["n2"])
    scenario = script.scenario(9.0)
    assert scenario.options.duration_s == 9.0
    assert script.scenario().options.duration_s == 4.0
    assert [operation.at_s for operation in scenario.operations] == [0.1, 0.1, 1.0, 3.0]
    assert len(scenario.operations[-1].arguments["value"]) == 12
    assert [fault.kind for fault in scenario.faults] == ["cut", "cut", "split"]
    assert isinstance(scenario.options, Options)
