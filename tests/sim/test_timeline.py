from sim.evidence import MachineEvent, Violation
from sim.faults.schedule import Fault
from sim.history import OperationKind, Outcome, StoreCause
from sim.timeline import story, timeline
from tests.sim.story import KEY, Story


def told() -> Story:
    tale = Story()
    tale.set("a", b"1:", "b")
    tale.set("a", b"2:", "b", ttl_ms=1_000)
    tale.delete("b", "a")
    tale.read(None)
    tale.call(OperationKind.SET, outcome=Outcome.UNKNOWN, value=b"a value that is long")
    tale.drop("a", StoreCause.EVICT)
    return tale


def test_a_story_names_versions_in_order_of_minting() -> None:
    text = story(told().evidence(), Violation("I1", KEY, "all is lost"))
    for part in (
        "a mints: holds v1 '1:'",
        "a mints over v1: holds v2 '2:', until",
        "b merge: holds v2",
        "b mints over v2: holds v3 (deleted) [has seen v1, v2]",
        "a evict: holds nothing",
        "get  at quorum",
        "-> nothing",
        "'a value that is …'",
        "-> unknown",
        "I1 violated: all is lost",
    ):
        assert part.replace("get  at", "get at") in text, part


def test_faults_and_machines_stand_between_and_other_keys_do_not() -> None:
    tale = told()
    tale.set("a", b"other", key=b"k9")
    evidence = tale.evidence(
        faults=(Fault(0.01, "pause", {"node": "a", "duration_s": 2.0}),),
        machines=(MachineEvent(1, 0.02, "a", "paused"), MachineEvent(2, 0.02, "a", "clock")),
        faults_end_s=0.5,
    )
    lines = [line.text for line in timeline(evidence, KEY)]
    assert "fault pause: duration_s 2.0, node a" in lines
    assert "a paused" in lines
    assert "faults end" in lines
    assert not any("other" in line or "clock" in line for line in lines)
    assert lines == [line.text for line in sorted(timeline(evidence, KEY))]


def test_a_violation_without_a_key_has_its_faults_told() -> None:
    evidence = told().evidence(faults=(Fault(0.01, "reset", {"first": "a", "second": "b"}),))
    text = story(evidence, Violation("I8", None, "nobody noticed"))
    assert text.splitlines()[-1] == "I8 violated: nobody noticed"
    assert "fault reset" in text
