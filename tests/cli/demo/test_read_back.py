"""Reading back: one fetch at quorum for each key, and what each answer means."""

from typing import Any

import pytest

from dynacache.cli.demo.journal import Stamp, stamp
from dynacache.cli.demo.read_back import read_back, read_key
from dynacache.cli.demo.verdict import Reading
from dynacache.errors import NotEnoughReplicas
from dynacache.types import MissReason
from tests.cli.fakes import FakeClient


def test_each_key_is_read_once_at_quorum_with_siblings() -> None:
    keys = [b"a", b"b", b"c"]
    client = FakeClient({key: stamp(key, 1, number, 50) for number, key in enumerate(keys)})
    readings = read_back(client, keys, [0, 2])
    assert readings == {0: Reading((Stamp(b"a", 1, 0),)), 2: Reading((Stamp(b"c", 1, 2),))}
    assert sorted(client.calls) == [("fetch", b"a", "quorum", True, False), ("fetch", b"c", "quorum", True, False)]


def test_siblings_are_readable_too() -> None:
    client = FakeClient({b"a": stamp(b"a", 1, 0, 9)}, {b"a": (stamp(b"a", 1, 0, 9), stamp(b"a", 2, 5, 9))})
    assert read_key(client, b"a") == Reading((Stamp(b"a", 1, 0), Stamp(b"a", 2, 5)))


@pytest.mark.parametrize("value", ["text", b"no stamp", None, 7])
def test_other_values_are_foreign(value: Any) -> None:
    assert read_key(FakeClient({b"a": value}), b"a") == Reading(foreign=True)


def test_a_failure_is_an_answer() -> None:
    client = FakeClient(errors={"fetch": NotEnoughReplicas("1 of 2")})
    assert read_key(client, b"a") == Reading(error="NotEnoughReplicas: 1 of 2")
    assert len(client.calls) == 1


@pytest.mark.parametrize("reason", list(MissReason))
def test_only_eviction_excuses_a_miss(reason: MissReason) -> None:
    reading = read_key(FakeClient(miss_reason=reason), b"a")
    assert reading.evicted is (reason == MissReason.EVICTED)
    assert reading.error == f"a miss ({reason.name.lower()})"
