import attrs

from dynacache.versioning.kernel import SIBLING_LIMIT
from sim.checkers.i11_repair_bytes import BYTES_A_DIFFERENCE, BYTES_AN_EXCHANGE, BYTES_AT_REST, FIXED_BYTES, check
from sim.evidence import Evidence, NodeSnapshot, Traffic
from sim.options import Options

OPTIONS = Options(value_bytes_maximum=10)
ALLOWED = FIXED_BYTES + 3 * (BYTES_A_DIFFERENCE + SIBLING_LIMIT * 10) + 2 * BYTES_AN_EXCHANGE


def evidence(*traffic: Traffic) -> Evidence:
    return Evidence(OPTIONS, traffic=traffic)


def test_repair_in_proportion_and_silence_at_rest() -> None:
    safety = Traffic("safety", 0.0, 9.0, {"WRITE": 90, "READ": 20}, {"peer": 90_000}, 10_000_000)
    repair = Traffic("drain", 9.0, 10.0, {"WRITE": 5, "RECORDS": 3}, {}, ALLOWED, 3, 2)
    rest = Traffic("rest", 10.0, 20.0, {"DATAGRAM": 40, "COMPARE": 2, "WRITE": 0}, {}, 2 * BYTES_AT_REST, 0, 2)
    assert check(evidence(safety, repair, rest)) == []


def test_a_phase_that_cost_too_much_is_found() -> None:
    costly = Traffic("drain", 9.0, 10.0, {}, {}, ALLOWED + 1, 3, 2)
    assert ["in phase drain" in violation.text for violation in check(evidence(costly))] == [True]
    restless = Traffic("rest", 9.0, 10.0, {}, {}, 2 * BYTES_AT_REST + 1, 0, 2)
    assert ["in phase rest" in violation.text for violation in check(evidence(restless))] == [True]


def test_records_at_rest_are_found() -> None:
    for name in ("WRITE", "RECORDS", "PULL"):
        restless = Traffic("rest", 10.0, 20.0, {name: 1, "DATAGRAM": 9})
        assert ["at rest" in violation.text for violation in check(evidence(restless))] == [True]


def test_hints_for_a_store_without_room_are_offered_again_and_again() -> None:
    restless = evidence(Traffic("rest", 10.0, 20.0, {"WRITE": 5}))
    waiting = NodeSnapshot("a", 1, 0, {}, hints=(("b", b"key", b"record"),))
    for key, found in ((b"key", 0), (b"another", 1)):
        full = NodeSnapshot("b", 2, 0, {}, refused=frozenset({key}))
        assert len(check(attrs.evolve(restless, snapshots={"a": waiting, "b": full}))) == found


def test_what_a_full_store_refused_is_offered_by_every_exchange() -> None:
    restless = evidence(Traffic("rest", 10.0, 20.0, {"RECORDS": 5}))
    for refused, found in ((frozenset({b"key"}), 0), (frozenset[bytes](), 1)):
        snapshots = {"b": NodeSnapshot("b", 2, 0, {}, refused=refused)}
        assert len(check(attrs.evolve(restless, snapshots=snapshots))) == found


def test_an_exchange_under_way_when_the_phase_began_is_paid_in_it() -> None:
    quiet = Traffic("rest", 10.0, 20.0, repair_bytes=2 * BYTES_AT_REST, exchanges=1)
    assert len(check(evidence(quiet))) == 1
    assert check(attrs.evolve(evidence(quiet), snapshots={"a": NodeSnapshot("a", 1, 0, {})})) == []
