"""Each operation's wire message, by position, and which may be repeated."""

import math
from typing import Any

import pytest

from dynacache.client.options import Options
from dynacache.client.requests import DELTA_LIMIT, Requests
from dynacache.errors import InvalidRequest
from dynacache.types import Level
from dynacache.wire.messages import COMMAND, DELETE, GET, INCREMENT, PAYLOAD_MSGPACK, PING, REPORT, SET, TOUCH

REQUESTS = Requests(Options(), b"client-1")
METADATA, RECEIPT, SIBLINGS, NO_PAYLOAD, PREVIOUS = 1, 2, 4, 8, 16


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (REQUESTS.get("k"), [GET, 0, b"k", 0, 0, 0]),
        (REQUESTS.get("k", level="all"), [GET, 0, b"k", Level.ALL, 0, 0]),
        (REQUESTS.exists("k"), [GET, 0, b"k", 0, 0, NO_PAYLOAD]),
        (REQUESTS.ttl("k"), [GET, 0, b"k", 0, 0, NO_PAYLOAD | METADATA]),
        (REQUESTS.fetch("k"), [GET, 0, b"k", 0, 0, METADATA]),
        (REQUESTS.fetch("k", siblings=True, receipt=True), [GET, 0, b"k", 0, 0, METADATA | RECEIPT | SIBLINGS]),
        (
            REQUESTS.set("k", 7, only_if_absent=True, ttl=2, level="one"),
            [SET, 0, b"k", PAYLOAD_MSGPACK, b"\x07", Level.ONE, 0, 2000, METADATA, 1, None],
        ),
        (REQUESTS.set("k", 7, only_if_present=True), [SET, 0, b"k", 0, b"\x07", 0, 0, 0, METADATA, 2, None]),
        (REQUESTS.set("k", 7, version=b"v"), [SET, 0, b"k", 0, b"\x07", 0, 0, 0, METADATA, 3, b"v"]),
        (REQUESTS.get_and_set("k", 7), [SET, 0, b"k", 0, b"\x07", 0, 0, 0, METADATA | PREVIOUS, 0, None]),
        (REQUESTS.delete("k", version=b"v"), [DELETE, 0, b"k", 0, 0, METADATA, 3, b"v", None]),
        (REQUESTS.get_and_delete("k"), [DELETE, 0, b"k", 0, 0, PREVIOUS, 0, None, None]),
        (REQUESTS.touch("k", 1.5), [TOUCH, 0, b"k", 1500, 0, 0]),
        (REQUESTS.touch("k", None), [TOUCH, 0, b"k", 0, 0, 0]),
        (REQUESTS.increment("k"), [INCREMENT, 0, b"k", 1, 0, 0, 0]),
        (REQUESTS.increment("k", -3, ttl=1), [INCREMENT, 0, b"k", -3, 0, 0, 1000]),
        (REQUESTS.owners("k"), [REPORT, 0, "owners", b"k"]),
        (REQUESTS.status(), [REPORT, 0, "status", None]),
        (REQUESTS.ping(), [PING, 0]),
        (REQUESTS.command("repair"), [COMMAND, 0, "repair", None]),
        (REQUESTS.command("join", {"node": "n4"}), [COMMAND, 0, "join", {"node": "n4"}]),
    ],
)
def test_message(call: Any, message: list[Any]) -> None:
    assert call.message == message
    if call.timeout_position:
        assert message[call.timeout_position] == 0


def test_unconditional_writes_carry_an_operation_id_of_their_own() -> None:
    calls = [REQUESTS.set("k", b"x"), REQUESTS.set("k", b"x"), REQUESTS.delete("k"), REQUESTS.set("k", 1, receipt=True)]
    ids = [call.message[-1] for call in calls]
    assert all(len(operation_id) == 16 and operation_id.startswith(b"client-1") for operation_id in ids)
    assert len(set(ids)) == len(ids)
    assert calls[3].message[8] == METADATA | RECEIPT


@pytest.mark.parametrize(
    ("call", "repeatable"),
    [
        (REQUESTS.get("k"), True),
        (REQUESTS.fetch("k"), True),
        (REQUESTS.touch("k", 1), True),
        (REQUESTS.set("k", 1), True),
        (REQUESTS.delete("k"), True),
        (REQUESTS.set("k", 1, only_if_absent=True), False),
        (REQUESTS.set("k", 1, only_if_present=True), False),
        (REQUESTS.set("k", 1, version=b"v"), False),
        (REQUESTS.set("k", 1, previous=True), False),
        (REQUESTS.delete("k", version=b"v"), False),
        (REQUESTS.get_and_set("k", 1), False),
        (REQUESTS.get_and_delete("k"), False),
        (REQUESTS.increment("k"), False),
    ],
)
def test_repeatable(call: Any, repeatable: bool) -> None:
    assert call.repeatable is repeatable


@pytest.mark.parametrize("call", [REQUESTS.get("k"), REQUESTS.ttl("k"), REQUESTS.status()])
def test_reads_change_nothing(call: Any) -> None:
    assert not call.changes


@pytest.mark.parametrize(
    "arguments",
    [
        {"only_if_absent": True, "only_if_present": True},
        {"only_if_absent": True, "version": b"v"},
        {"version": "v"},
        {"ttl": 0},
        {"level": "most"},
        {"timeout": 0},
    ],
)
def test_bad_arguments_of_set(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        REQUESTS.set("k", 1, **arguments)


@pytest.mark.parametrize("delta", [1.5, "1", None, DELTA_LIMIT + 1, -DELTA_LIMIT - 1])
def test_bad_delta(delta: Any) -> None:
    with pytest.raises(InvalidRequest, match="delta"):
        REQUESTS.increment("k", delta)


def test_a_report_may_be_of_one_node() -> None:
    assert REQUESTS.status(address="a:1").address == ("a", 1)
    assert REQUESTS.status().address is None
    with pytest.raises(InvalidRequest):
        REQUESTS.status(address="a:x")


def test_reads_that_may_be_stale_go_to_any_owner() -> None:
    assert not REQUESTS.get("k").spread
    assert not REQUESTS.get("k", level="one").spread
    assert REQUESTS.get("k", level="quorum", max_staleness=1.0).spread


def test_a_command_may_be_for_one_node_and_is_repeated() -> None:
    call = REQUESTS.command("join", {"node": "n4"}, address="10.0.0.4:7400", timeout=2.0)
    assert (call.address, call.timeout_s) == (("10.0.0.4", 7400), 2.0)
    assert call.repeatable, "an order given twice is as good as one"
    assert call.changes, "an order whose fate is unknown is not told as refused"


@pytest.mark.parametrize(("name", "key"), [("", b"k"), ("web", b"\x00\x03webk")])
def test_every_operation_names_the_namespace_in_its_key(name: str, key: bytes) -> None:
    requests = REQUESTS.of_namespace(name)
    calls = [
        requests.get("k"),
        requests.fetch("k"),
        requests.exists("k"),
        requests.ttl("k"),
        requests.set("k", 1),
        requests.get_and_set("k", 1),
        requests.delete("k"),
        requests.get_and_delete("k"),
        requests.touch("k", 1.0),
        requests.increment("k"),
    ]
    assert [call.key for call in calls] == [call.message[2] for call in calls] == [key] * len(calls)
    assert requests.owners("k").message[3] == key


def test_a_key_that_begins_with_zero_is_no_namespaces() -> None:
    assert REQUESTS.get(b"\x00\x03webk").key == b"\x00\x00\x00\x03webk"


def test_operation_ids_are_one_sequence_in_all_namespaces() -> None:
    requests = Requests(Options(), b"client-2")
    ids = [each.set("k", 1).message[11] for each in (requests, requests.of_namespace("a"), requests)]
    assert len(set(ids)) == 3
    assert requests.of_namespace("a").of_namespace("b").namespace == "b"
    with pytest.raises(InvalidRequest, match="namespace: got 'A'"):
        requests.of_namespace("A")


def test_settings_are_read_and_changed_where_the_handle_is() -> None:
    requests = REQUESTS.of_namespace("web")
    assert requests.settings().message[2:] == ["namespaces", "web"]
    assert requests.configure({"sliding": True}, version=7, level="all").message[2:] == [
        "namespace_set",
        {"name": "web", "options": {"sliding": True}, "version": 7, "write_level": 4},
    ]
    assert requests.configure({}).message[3] == {"name": "web", "options": {}, "write_level": 2}


def test_never_is_said_to_the_namespace() -> None:
    assert [REQUESTS.set("k", 1, ttl=ttl).message[7] for ttl in (None, 2.0, math.inf)] == [0, 2_000, -1]
    assert REQUESTS.touch("k", math.inf).message[3] == -1
