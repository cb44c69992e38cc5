"""The plain path of reads gives what the operation would, at the cost of one message to one peer."""

import attrs
import pytest

from dynacache.config import Config, CoordinationConfig
from dynacache.errors import Overloaded
from dynacache.types import Level, MissReason
from dynacache.wire.messages import ERROR, GET, MISS, READ, SET, VALUE, WRITE
from tests.fake_cluster import FakeCluster

RAW = 1


def _loaded(config: Config | None = None) -> FakeCluster:
    cluster = FakeCluster(3, config or Config())
    cluster.ask_many("n1", [[SET, b"key %d" % index, RAW, b"value %d" % index, Level.ALL] for index in range(40)])
    cluster.seen.clear()
    return cluster


def test_level_one_is_answered_from_the_own_copy() -> None:
    cluster = _loaded()
    assert cluster.ask("n2", [GET, b"key 1", Level.ONE])[3] == b"value 1"
    assert [content for *_, content in cluster.seen if content[0] == READ] == []


def test_a_batch_at_quorum_is_one_question_to_one_peer() -> None:
    cluster = _loaded()
    replies = cluster.ask_many("n2", [[GET, b"key %d" % index, Level.QUORUM] for index in range(40)])
    assert [reply[3] for reply in replies] == [b"value %d" % index for index in range(40)]
    questions = [content for *_, content in cluster.seen if content[0] == READ]
    assert len(questions) == 1
    assert not any(content[0] == WRITE for *_, content in cluster.seen), "equal copies need no repair"


def test_the_answer_for_equal_versions_carries_no_record() -> None:
    cluster = _loaded()
    cluster.ask("n2", [GET, b"key 1", Level.QUORUM])
    answers = [content[3] for *_, content in cluster.seen if content[0] == READ + 1]
    assert answers == [[True]]


def test_rounds_spread_over_the_owners() -> None:
    cluster = _loaded()
    for _ in range(6):
        cluster.ask("n2", [GET, b"key 1", Level.QUORUM])
    asked = [target for _, target, _, content in cluster.seen if content[0] == READ]
    assert {name: asked.count(name) for name in ("n1", "n3")} == {"n1": 3, "n3": 3}


@pytest.mark.parametrize("level", [Level.ONE, Level.QUORUM, Level.STRICT_QUORUM, Level.ALL])
def test_plain_and_flagged_reads_agree(level: int) -> None:
    cluster = _loaded()
    for key in (b"key 1", b"nothing"):
        plain = cluster.ask("n3", [GET, key, level])
        flagged = cluster.ask("n3", [GET, key, level, 0, 2])
        assert plain[0] == flagged[0]
        assert plain[2:] == flagged[2 : len(plain)]


def test_a_miss_of_everyone() -> None:
    cluster = _loaded()
    reply = cluster.ask("n1", [GET, b"nothing", Level.QUORUM])
    assert (reply[0], reply[2]) == (MISS, MissReason.NEVER_WRITTEN)


def test_the_limit_of_requests_in_flight_refuses_definitely() -> None:
    cluster = _loaded(Config(coordination=CoordinationConfig(pending_limit=1)))
    cluster.paused = {"n2", "n3"}
    assert cluster.ask("n1", [GET, b"key 1", Level.ALL], 0.0) is None
    for message in ([GET, b"key 1", Level.ALL], [SET, b"key 1", RAW, b"new", Level.QUORUM]):
        reply = cluster.ask("n1", message, 0.0)
        assert (reply[0], reply[2]) == (ERROR, Overloaded.code)
    cluster.paused = set()
    cluster.run(1.0)
    reply = cluster.ask("n1", [GET, b"key 1", Level.QUORUM])
    assert (reply[0], reply[3]) == (VALUE, b"value 1")


@pytest.mark.parametrize("flags", [0, 1], ids=["plain", "with metadata"])
def test_a_frame_full_of_reads_of_large_values_is_bounded(flags: int) -> None:
    cluster = FakeCluster(3, attrs.evolve(Config(), coordination=CoordinationConfig(turn_reply_limit_bytes=100_000)))
    cluster.ask("n1", [SET, b"large", RAW, b"x" * 40_000, Level.ALL])
    replies = cluster.ask_many("n1", [[GET, b"large", Level.ONE, 0, flags] for _ in range(10)])
    assert [reply[0] for reply in replies] == [VALUE] * 3 + [ERROR] * 7
    assert {reply[2] for reply in replies[3:]} == {Overloaded.code}
    assert cluster.ask("n1", [GET, b"large", Level.ONE])[0] == VALUE, "the next turn starts anew"
