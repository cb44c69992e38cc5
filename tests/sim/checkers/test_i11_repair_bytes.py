import attrs

from sim.checkers.i11_repair_bytes import BYTES_A_DIFFERENCE, FIXED_BYTES, check
from sim.evidence import Evidence, NodeSnapshot, Traffic
from sim.options import Options


def evidence(*traffic: Traffic) -> Evidence:
    return Evidence(Options(), traffic=traffic)


def test_repair_in_proportion_and_silence_at_rest() -> None:
    safety = Traffic("safety", 0.0, 9.0, {"WRITE": 90, "READ": 20}, {"peer": 90_000})
    repair = Traffic("drain", 9.0, 10.0, {"WRITE": 5}, {}, FIXED_BYTES + 3 * BYTES_A_DIFFERENCE, 3)
    rest = Traffic("rest", 10.0, 20.0, {"DATAGRAM": 40, "MEMBERSHIP": 2, "WRITE": 0}, {"datagram": 4_000})
    assert check(evidence(safety, repair, rest)) == []


def test_a_phase_that_cost_too_much_is_found() -> None:
    costly = Traffic("drain", 9.0, 10.0, {}, {}, FIXED_BYTES + 3 * BYTES_A_DIFFERENCE + 1, 3)
    assert ["in phase drain" in violation.text for violation in check(evidence(costly))] == [True]


def test_records_at_rest_are_found() -> None:
    restless = Traffic("rest", 10.0, 20.0, {"WRITE": 1, "DATAGRAM": 9})
    assert ["at rest" in violation.text for violation in check(evidence(restless))] == [True]


def test_hints_for_a_store_without_room_are_offered_again_and_again() -> None:
    restless = evidence(Traffic("rest", 10.0, 20.0, {"WRITE": 5}))
    waiting = NodeSnapshot("a", 1, 0, {}, hints=(("b", b"key", b"record"),))
    for key, found in ((b"key", 0), (b"another", 1)):
        full = NodeSnapshot("b", 2, 0, {}, refused=frozenset({key}))
        assert len(check(attrs.evolve(restless, snapshots={"a": waiting, "b": full}))) == found
