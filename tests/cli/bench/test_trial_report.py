"""What a trial's report says, and when its exit code is 1."""

import io

import attrs

from dynacache.cli.bench.trial import Stretch
from dynacache.cli.bench.trial_report import Promise, kept_promises, trial_answer
from dynacache.cli.demo.verdict import Verdict
from dynacache.cli.demo.workload import Counts
from dynacache.cli.output import show

VERDICT = Verdict(100, 50, 0, 0, 0, 0, ())
STRETCHES = [Stretch("before", 5, 1000, 0, 0, 0.5, 2.0, 0), Stretch("3 to 4", 2, 400, 0, 0, 0.6, 3, 1_500_000, 10**6)]


def test_what_is_kept_is_exit_code_0() -> None:
    counts = Counts(requests=1400)
    answer = trial_answer("t", {"keys": 5}, STRETCHES, kept_promises(counts, VERDICT), VERDICT, counts)
    assert (answer.exit_code, answer.complaint) == (0, "")
    said = io.StringIO()
    show(answer, "table", said)
    assert "1.5 MB" in said.getvalue()
    assert "1.50" in said.getvalue()
    assert answer.record["stretches"][1]["moved_bytes"] == 1_500_000


def test_what_is_broken_is_spelled_out() -> None:
    counts = Counts(requests=1400, failed=1, unknown=2)
    counts.errors["TimedOut: x"] = 3
    lost = attrs.evolve(VERDICT, lost_acknowledged_writes=1, examples=("b'k': 1 lost",))
    promises = [*kept_promises(counts, lost), Promise("moved", 1.6, 1.5), Promise("p99", 3.0, 3.0)]
    answer = trial_answer("t", {}, STRETCHES, promises, lost, counts)
    assert answer.exit_code == 1
    assert answer.complaint.split("\n") == [
        "failed requests: 3, promised at most 0",
        "lost acknowledged writes: 1, promised at most 0",
        "moved: 1.6, promised at most 1.5",
        "3 times TimedOut: x",
        "b'k': 1 lost",
    ]
    assert [each["kept"] for each in answer.record["promises"]] == [False, False, True, False, True]
