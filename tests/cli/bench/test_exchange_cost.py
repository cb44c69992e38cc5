"""The cases of `--exchange` and `--rest`, small: the figures mean what they say."""

import json

import pytest

from dynacache.cli.bench import exchange_cost
from dynacache.cli.bench.exchange_cost import eviction_case, exchange_case, expiry_case, filled, main, measure
from dynacache.cli.processes import StartFailed


def test_bytes_follow_differences() -> None:
    pair = filled(3000)
    assert pair.equal()
    rest, one, many = (exchange_case(pair, 3000, count) for count in (0, 1, 100))
    assert rest.pairs == rest.exchanges > 20
    assert (rest.record_bytes, rest.differences) == (0, 0)
    assert one.record_bytes > 64
    assert many.record_bytes == 100 * one.record_bytes
    assert many.message_bytes > one.message_bytes > rest.message_bytes / rest.exchanges
    assert pair.equal()


def test_full_replicas_come_to_rest() -> None:
    case = eviction_case(8_000, 2 << 20, 6)
    assert case.records_by_minute[0] > 100
    assert case.records_by_minute[-3:] == (0, 0, 0)
    assert case.differing_leaves_by_minute[-3:] == (0, 0, 0)
    assert case.bytes_by_minute[-1] < 1000


def test_a_mass_expiry_is_no_difference() -> None:
    case = expiry_case(3000)
    assert (case.records_by_minute, case.differing_leaves_by_minute) == ((0,), (0,))
    assert case.bytes_by_minute[0] > 0


def test_what_the_child_prints(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["exchange", "2000"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(each["entries"], each["differences"]) for each in found] == [
        *((1000, 0), (1000, 1), (1000, 1000), (2000, 0), (2000, 1), (2000, 1000))
    ]
    monkeypatch.setattr(exchange_cost, "_EVICTION_ENTRIES", 2000)
    monkeypatch.setattr(exchange_cost, "_EXPIRING", 500)
    assert main(["rest", "0"]) == 0
    assert [each["entries"] for each in json.loads(capsys.readouterr().out)] == [2000, 500]


def test_a_child_that_fails_is_told() -> None:
    with pytest.raises(StartFailed, match="exit code 1"):
        measure(1, "exchange?")
