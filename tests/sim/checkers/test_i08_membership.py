from typing import Any

import attrs

from dynacache.placement.table import MemberState
from sim.checkers.i08_membership import DETECTION_S, check
from sim.evidence import Evidence, MachineEvent, MembershipEvent, NodeSnapshot, TableEvent
from sim.faults.schedule import Fault
from sim.options import Options

QUIET = Options(loss_rate=0.0, corrupt_rate=0.0)
NAMES = ("a", "b", "c")


def evidence(**more: Any) -> Evidence:
    """Three nodes that serve from the first second to the last."""
    machines = tuple(MachineEvent(index, 0.0, name, "serving") for index, name in enumerate(NAMES))
    machines += more.pop("machines", ())
    down = {event.node_id for event in machines if event.kind == "crashed"}
    running = [name for name in NAMES if name not in down]
    snapshots = {
        name: NodeSnapshot(name, 1, 0, {}, member_states={other: 0 for other in running if other != name})
        for name in running
    }
    return Evidence(QUIET, machines=machines, snapshots=snapshots, start_s=0.0, end_s=300.0, **more)


def verdict(at_s: float, observer: str, subject: str, state: str = "dead") -> MembershipEvent:
    return MembershipEvent(int(at_s), at_s, observer, subject, state)


def test_a_quiet_cluster_and_a_death_that_was_noticed() -> None:
    assert check(evidence()) == []
    crashed = (MachineEvent(10, 100.0, "c", "crashed"),)
    noticed = (verdict(120, "a", "c"), verdict(125, "b", "c"))
    assert check(evidence(machines=crashed, membership=noticed)) == []


def test_a_death_that_nobody_noticed_is_found() -> None:
    crashed = (MachineEvent(10, 100.0, "c", "crashed"),)
    found = check(evidence(machines=crashed, membership=(verdict(120, "a", "c"),)))
    assert [violation.text.split()[0] for violation in found] == ["b"]


def test_a_machine_that_is_soon_back_need_not_be_noticed() -> None:
    machines = (MachineEvent(10, 100.0, "c", "crashed"), MachineEvent(11, 100.0 + DETECTION_S / 2, "c", "serving"))
    case = evidence(machines=machines)
    everyone = {name: dict.fromkeys(NAMES, 0) for name in NAMES}
    snapshots = {name: NodeSnapshot(name, 1, 0, {}, member_states=states) for name, states in everyone.items()}
    assert check(attrs.evolve(case, snapshots=snapshots)) == []


def test_a_verdict_on_a_healthy_member_is_found() -> None:
    alive_again = verdict(210, "a", "b", "alive")
    found = check(evidence(membership=(verdict(200, "a", "b"), alive_again)))
    assert ["held b dead" in violation.text for violation in found] == [True]


def test_a_verdict_in_trouble_is_excused() -> None:
    pause = Fault(180.0, "pause", {"node": "b", "duration_s": 10.0})
    events = (verdict(200, "a", "b"), verdict(210, "a", "b", "alive"))
    assert check(evidence(membership=events, faults=(pause,))) == []


def test_a_verdict_soon_after_the_start_is_excused() -> None:
    events = (verdict(40, "a", "b"), verdict(50, "a", "b", "alive"))
    assert check(evidence(membership=events)) == []


def test_a_view_that_stayed_wrong_is_found() -> None:
    case = evidence()
    wrong = attrs.evolve(case.snapshots["a"], member_states={"b": 2, "c": 0})
    found = check(attrs.evolve(case, snapshots=case.snapshots | {"a": wrong}))
    assert ["to a it is dead" in violation.text for violation in found] == [True]
    unaware = attrs.evolve(case.snapshots["a"], member_states={"b": 0})
    found = check(attrs.evolve(case, snapshots=case.snapshots | {"a": unaware}))
    assert ["to a it is unknown" in violation.text for violation in found] == [True]


def test_a_live_member_that_was_removed_is_found() -> None:
    members = tuple((name, int(MemberState.REMOVED if name == "b" else MemberState.NORMAL), "", 1) for name in NAMES)
    found = check(evidence(tables=(TableEvent(1, 100.0, "a", 1, members, ()),)))
    assert ["took b for removed" in violation.text for violation in found] == [True]
