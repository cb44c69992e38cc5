"""Findings of the demo: what passes, what is said, how to go on."""

import json
from typing import Any

import attrs
import pytest

from dynacache.cli.demo import report
from dynacache.cli.demo.verdict import Verdict
from dynacache.cli.demo.workload import Counts
from dynacache.cli.demo_options import DemoOptions
from dynacache.cli.local_cluster import LocalCluster
from dynacache.cli.processes import ProcessGroup

VERDICT = Verdict(10, 5, 0, 0, 0, 0, ())


@pytest.mark.parametrize(
    ("counts", "verdict", "crashes", "expected"),
    [
        (Counts(100, 80, 40), VERDICT, [], True),
        (Counts(100, 80, 40, unknown=3), VERDICT, [], True),
        (Counts(100, 80, 40, failed=1), VERDICT, [], False),
        (Counts(100, 80, 40, wrong_values=1), VERDICT, [], False),
        (Counts(100, 80, 40), attrs.evolve(VERDICT, lost_acknowledged_writes=1), [], False),
        (Counts(100, 80, 40), attrs.evolve(VERDICT, foreign_values=1), [], False),
        (Counts(100, 80, 40), attrs.evolve(VERDICT, refused_but_applied=1), [], False),
        (Counts(100, 80, 40), attrs.evolve(VERDICT, evicted_keys=1), [], True),
        (Counts(100, 80, 40), VERDICT, ["ZeroDivisionError: x"], False),
    ],
)
def test_what_passes(counts: Counts, verdict: Verdict, crashes: list[str], expected: bool) -> None:
    figures = report.figures_of(DemoOptions(), counts, verdict, 10.0, 2, {"killed_at_s": 1.0}, crashes)
    assert report.passed(figures) is expected
    assert figures["hit_ratio"] == 0.5
    assert figures["evicted"] == 2 + verdict.evicted_keys
    json.dumps(figures)


def test_the_verdict_quotes_errors_and_losses(capsys: Any) -> None:
    counts = Counts(100, 80, 40, failed=1)
    counts.errors["NotEnoughReplicas: 1 of 2"] = 7
    verdict = attrs.evolve(VERDICT, lost_acknowledged_writes=2, examples=("b'k': 2 lost",))
    report.print_verdict(report.figures_of(DemoOptions(), counts, verdict, 10.0, 0, {}, ["a worker crashed"]))
    shown = capsys.readouterr().out
    for text in ("7 x NotEnoughReplicas: 1 of 2", "b'k': 2 lost", "a worker crashed", "99.0000%", "NOT HELD", "2 lost"):
        assert text in shown


def test_how_to_go_on_names_every_node(capsys: Any) -> None:
    with ProcessGroup() as group:
        cluster = LocalCluster(group, 3)
        report.print_how_to_use(cluster, group)
    shown = capsys.readouterr().out
    assert all(address in shown for address in cluster.addresses)
    assert "kill" in shown
