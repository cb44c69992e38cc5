from typing import Any

from dynacache.types import Level
from sim.checkers.i06_linearizable import ANY, Step, Verdict, check, inconclusive, search, steps_of
from sim.evidence import Evidence
from sim.history import OperationKind, OperationRecord, Outcome
from sim.options import Options

INFINITY = float("inf")


def read(call: int, returned: int, answer: Any) -> Step:
    return Step(call, returned, "get", answer=answer)


def write(call: int, returned: float, value: Any, known: bool = True) -> Step:
    return Step(call, returned, "set", value, known=known)


def compare(call: int, returned: int, demanded: Any, value: Any, answer: bool) -> Step:
    return Step(call, returned, "compare", value, demanded, answer)


def test_nothing_and_one_after_another() -> None:
    assert search([]) is Verdict.HELD
    assert search([read(1, 2, None), write(3, 4, b"1"), read(5, 6, b"1")]) is Verdict.HELD


def test_a_stale_read_after_a_write_has_no_order() -> None:
    assert search([write(1, 2, b"1"), write(3, 4, b"2"), read(5, 6, b"1")]) is Verdict.VIOLATED


def test_a_concurrent_read_may_see_either() -> None:
    for seen in (b"1", b"2"):
        assert search([write(1, 2, b"1"), write(3, 8, b"2"), read(4, 6, seen)]) is Verdict.HELD


def test_reads_do_not_go_back() -> None:
    steps = [write(1, 2, b"1"), write(3, 12, b"2"), read(4, 6, b"2"), read(7, 8, b"1")]
    assert search(steps) is Verdict.VIOLATED


def test_an_unknown_write_may_have_happened_late_or_never() -> None:
    lost = write(3, INFINITY, b"2", known=False)
    assert search([write(1, 2, b"1"), lost, read(5, 6, b"1"), read(7, 8, b"2")]) is Verdict.HELD
    assert search([write(1, 2, b"1"), lost, read(5, 6, b"1")]) is Verdict.HELD
    assert search([write(1, 2, b"1"), lost, read(5, 6, b"2"), read(7, 8, b"1")]) is Verdict.VIOLATED


def test_an_unseen_unknown_write_may_be_what_made_a_compare_fail() -> None:
    steps = [write(1, 2, b"1"), write(3, INFINITY, b"2", known=False), compare(4, 5, b"1", b"3", False)]
    assert search(steps) is Verdict.HELD


def test_two_compares_of_one_value_do_not_both_succeed() -> None:
    base = [write(1, 2, b"1")]
    assert search([*base, compare(3, 6, b"1", b"2", True), compare(4, 7, b"1", b"3", False)]) is Verdict.HELD
    assert search([*base, compare(3, 6, b"1", b"2", True), compare(4, 7, b"1", b"3", True)]) is Verdict.VIOLATED


def test_present_and_absent() -> None:
    assert search([compare(1, 2, None, b"1", True), compare(3, 4, None, b"2", False)]) is Verdict.HELD
    assert search([compare(1, 2, ANY, b"1", True)]) is Verdict.VIOLATED
    deleted = Step(5, 6, "delete")
    assert search([write(1, 2, b"1"), deleted, compare(7, 8, ANY, b"2", False), read(9, 10, None)]) is Verdict.HELD


def test_a_limit_of_states_accuses_nobody() -> None:
    steps = [write(index, 100 + index, b"%d" % index) for index in range(12)]
    assert search([*steps, read(200, 201, b"none")], limit=50) is Verdict.INCONCLUSIVE


def operation(
    number: int, kind: OperationKind, result: Any, key: bytes = b"k0", outcome: Outcome = Outcome.OK, **arguments: Any
) -> OperationRecord:
    begin = 10 * number
    metadata = {"version": arguments.pop("read_version")} if "read_version" in arguments else {}
    return OperationRecord(
        number, 0, kind, key, Level.STRONG, begin, 0.0, begin + 5, 0.0, outcome, result, arguments, metadata
    )


def test_versions_stand_for_the_values_that_were_read_with_them() -> None:
    history = [
        operation(1, OperationKind.SET, True, value=b"1"),
        operation(2, OperationKind.GET, b"1", read_version=b"v1"),
        operation(3, OperationKind.SET_IF_VERSION, True, value=b"2", version=b"v1"),
        operation(4, OperationKind.SET_IF_VERSION, False, value=b"3", version=b"v1"),
        operation(5, OperationKind.SET, None, outcome=Outcome.FAILED, value=b"4"),
        operation(6, OperationKind.GET, b"2"),
    ]
    assert len(steps_of(history)) == 5
    assert check(Evidence(Options(), tuple(history))) == []
    history[3] = operation(4, OperationKind.SET_IF_VERSION, True, value=b"3", version=b"v1")
    assert [violation.invariant for violation in check(Evidence(Options(), tuple(history)))] == ["I6"]
    assert inconclusive(Evidence(Options(), tuple(history))) == []


def test_keys_are_judged_apart_and_weaker_levels_not_at_all() -> None:
    history = (
        operation(1, OperationKind.SET, True, value=b"1"),
        operation(2, OperationKind.SET, True, key=b"k1", value=b"2"),
        operation(3, OperationKind.GET, None, key=b"k1"),
        operation(4, OperationKind.GET, b"1"),
    )
    assert [violation.key for violation in check(Evidence(Options(), history))] == [b"k1"]
