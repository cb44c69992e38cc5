"""Operation records: what has no answer is of unknown fate, and who writes is known."""

from sim.history import OperationKind, OperationRecord, Outcome


def test_without_an_answer_the_fate_is_unknown() -> None:
    record = OperationRecord(1, 0, OperationKind.SET, b"k", 2, 5, 1.0)
    assert (record.outcome, record.return_sequence) == (Outcome.UNKNOWN, None)


def test_all_but_reads_write() -> None:
    writing = {kind for kind in OperationKind if OperationRecord(1, 0, kind, b"k", 2, 5, 1.0).writes}
    assert writing == set(OperationKind) - {OperationKind.GET, OperationKind.SCAN}
