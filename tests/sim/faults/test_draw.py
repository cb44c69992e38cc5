"""Drawn schedules: every kind, within the fault model, each fault by its own number."""

import attrs

from sim.draws import Draws
from sim.faults.draw import CLOCK_LIMIT_MS, STARTUP_S, client_names, draw, node_names, victims_of
from sim.faults.schedule import FAULT_KINDS, Fault
from sim.options import Options

OPTIONS = Options(
    seed=1, nodes=5, joiners=1, clients=2, duration_s=600.0, faults_per_minute=60.0, fault_kinds=tuple(FAULT_KINDS)
)


def test_every_kind_is_drawn_in_order_of_time() -> None:
    faults = draw(OPTIONS, Draws(1))
    assert {fault.kind for fault in faults} == set(FAULT_KINDS)
    assert sorted(faults, key=lambda fault: fault.at_s) == list(faults)
    assert len(faults) > 500
    assert all(0 <= fault.at_s <= 600.0 for fault in faults)


def test_one_machine_alone_loses_its_memory() -> None:
    faults = draw(OPTIONS, Draws(1))
    losing = {fault.arguments["node"] for fault in faults if fault.kind in ("crash", "stop")}
    assert losing == set(victims_of(OPTIONS, Draws(1)))


def test_clocks_stay_within_the_skew_that_is_promised_but_for_one_kind() -> None:
    offsets = [abs(fault.arguments["offset_ms"]) for fault in draw(OPTIONS, Draws(1)) if fault.kind == "clock_offset"]
    assert max(offsets) <= CLOCK_LIMIT_MS < 250


def test_no_more_nodes_join_than_there_are() -> None:
    assert [fault.kind for fault in draw(OPTIONS, Draws(1))].count("join") == 1
    assert "join" not in {fault.kind for fault in draw(attrs.evolve(OPTIONS, joiners=0), Draws(1))}


def test_faults_of_the_start_up_come_before_the_rest() -> None:
    early = draw(attrs.evolve(OPTIONS, startup_faults=True, faults_per_minute=0.0), Draws(1))
    assert len(early) == 2
    assert all(-STARTUP_S <= fault.at_s <= 0 for fault in early)


def test_no_kinds_no_faults() -> None:
    assert draw(attrs.evolve(OPTIONS, fault_kinds=()), Draws(1)) == ()


def test_names() -> None:
    assert node_names(OPTIONS) == ("n1", "n2", "n3", "n4", "n5")
    assert client_names(OPTIONS) == ("client0", "client1")


def test_losses_of_memory_fall_beside_other_trouble() -> None:
    faults = draw(OPTIONS, Draws(1))
    (victim,) = victims_of(OPTIONS, Draws(1))
    crashes = [fault for fault in faults if fault.kind == "crash"]
    splits = [fault for fault in faults if fault.kind == "split"]

    def beside(crash: Fault, side: list[str] | None) -> bool:
        return any(
            split.at_s <= crash.at_s <= split.at_s + split.arguments["duration_s"] + 5.0
            and split.arguments["side"] == (side or split.arguments["side"])
            for split in splits
        )

    assert sum(beside(crash, [victim]) for crash in crashes) > 0.2 * len(crashes)
    assert any(beside(crash, [other]) for crash in crashes for other in node_names(OPTIONS) if other != victim)


def test_no_split_is_added_where_splits_are_not_wanted() -> None:
    without = attrs.evolve(OPTIONS, fault_kinds=("crash", "pause"))
    faults = draw(without, Draws(1))
    assert {fault.kind for fault in faults} == {"crash", "pause"}
    assert len(faults) == 600


def test_machines_stay_away_long_in_long_runs_alone() -> None:
    longest = {
        duration_s: max(
            fault.arguments["down_s"]
            for fault in draw(attrs.evolve(OPTIONS, duration_s=duration_s), Draws(1))
            if fault.kind == "crash"
        )
        for duration_s in (60.0, 600.0)
    }
    assert longest[60.0] <= 12.0
    assert longest[600.0] > 55.0
