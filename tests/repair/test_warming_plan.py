"""The plan: what is warming, who is asked, how partitions end by the clock."""

from random import Random
from typing import Any

import attrs
import pytest
from pyroaring import BitMap

from dynacache.config.transfer import TransferConfig
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberState
from dynacache.repair.transfer_messages import Page
from dynacache.repair.transfer_rate import TokenBucket
from dynacache.repair.transfer_source import Begun, Source
from dynacache.repair.warming import Ending
from dynacache.repair.warming_plan import WarmingPlan
from tests.repair.transfer_world import FakeStore, table_of

COPY = Begun(0, complete=True, since_ms=50)


@attrs.define(eq=False)
class Port:
    """As much of a node as a plan looks at."""

    placement: Placement
    now_s: float = 100.0
    now_ms: int = 1_000
    digest: int = 0
    hybrid: int = 0
    load: float = 0.0
    node_id: str = "c"
    random: Random = attrs.field(factory=Random)
    notes: list[Any] = attrs.field(factory=list)

    def is_up(self, node_id: str) -> bool:
        return True

    def ask(self, *_: Any) -> None:
        raise AssertionError("a plan asks nobody")

    reply = ask

    def note(self, event: str, level: str = "info", **fields: object) -> None:
        self.notes.append((event, level, fields))


def plan_of(names: str = "abc", count: int = 16) -> tuple[WarmingPlan, Port, list[tuple[int, int]]]:
    placement = Placement.from_table(table_of(dict.fromkeys(names, MemberState.NORMAL), count))
    port = Port(placement)
    sources = {name: Source(name, TokenBucket(1e9), placement.owned_by(name)) for name in names if name != "c"}
    ended: list[tuple[int, int]] = []
    plan = WarmingPlan(
        port,
        TransferConfig(),
        FakeStore(count),
        sources,
        lambda partition, since_ms: ended.append((partition, since_ms)),
        stale_after_ms=10_000,
    )
    return plan, port, ended


def hear(plan: WarmingPlan, name: str, warming: BitMap | None = None, hints: int = 0) -> None:
    source = plan.sources[name]
    if not source.is_up:
        source.linked(True)
        plan.linked(source)
    page = Page(warming or BitMap(), BitMap(), hints, [], 0)
    plan.heard(*source.heard(page, plan.port.now_s))
    plan.step()


def merge(plan: WarmingPlan, name: str, partition: int, begun: Begun = COPY) -> None:
    plan.merged(plan.sources[name], partition, begun)
    plan.step()


def test_whom_to_ask_follows_from_what_is_heard() -> None:
    plan, _, ended = plan_of()
    plan.add(range(16))
    plan.step()
    assert plan.store.warming == BitMap(range(16))
    assert plan.waiting_for() == {"a": 16, "b": 16}
    hear(plan, "a")
    assert plan.sources["a"].todo == BitMap(range(16))
    assert plan.waiting_for() == {"b": 16}
    hear(plan, "b")
    assert plan.waiting_for() == {}
    merge(plan, "a", 3, COPY)
    assert 3 not in plan.sources["a"].todo
    assert not ended
    merge(plan, "b", 3, attrs.evolve(COPY, since_ms=40))
    assert ended == [(3, 40)], "since the first of its copies began"
    assert plan.store.warming == BitMap(range(16)) - BitMap([3])
    assert plan.endings[Ending.QUORUM] == plan.done == 1


def test_a_copy_that_was_not_complete_does_not_count_as_one() -> None:
    plan, _, ended = plan_of()
    plan.add([3])
    hear(plan, "a")
    hear(plan, "b")
    merge(plan, "a", 3, COPY)
    merge(plan, "b", 3, attrs.evolve(COPY, complete=False))
    assert not ended
    assert plan.sources["b"].todo == BitMap([3]), "it has become complete since and is taken again"


def test_what_is_forgotten_is_begun_anew() -> None:
    plan, _, ended = plan_of()
    plan.add([3])
    hear(plan, "a")
    hear(plan, "b")
    merge(plan, "a", 3, COPY)
    plan.forget(3)
    plan.step()
    merge(plan, "b", 3, COPY)
    assert not ended
    assert plan.sources["a"].todo == BitMap([3])


def test_a_removed_partition_is_over() -> None:
    plan, _, ended = plan_of()
    plan.add([3, 4])
    plan.remove(3)
    assert plan.store.warming == BitMap([4])
    plan.step()
    assert plan.waiting_for() == {"a": 1, "b": 1}
    assert not ended


def test_partitions_that_are_alike_are_decided_about_together() -> None:
    plan, _, _ = plan_of(count=1024)
    plan.add(range(1024))
    plan.step()
    assert not plan.is_behind, "three nodes: all partitions have the same owners"
    hear(plan, "a")
    hear(plan, "b", BitMap(range(0, 1024, 2)))
    assert plan.sources["b"].todo == BitMap(range(1, 1024, 2))
    assert plan.waiting_for() == {"b": 512}


def test_a_slice_at_a_time() -> None:
    plan, _, _ = plan_of("abcdefghijklmnop", count=4096)
    plan.add(plan.port.placement.owned_by("c"))
    plan.step()
    behind = [plan.is_behind]
    plan.step()
    assert [*behind, plan.is_behind] == [True, False], "a hundred and five pairs of others"
    assert sum(plan.waiting_for().values()) == 2 * len(plan.store.warming)


def lose(plan: WarmingPlan, port: Port) -> None:
    """Let a be complete and b have lost its memory as well, and patience end."""
    plan.add([3])
    hear(plan, "a", hints=2)
    hear(plan, "b", BitMap([3]))
    merge(plan, "a", 3, COPY)
    port.now_s += plan.settings.patience_s
    plan.step()
    assert plan.sources["b"].todo == BitMap([3])
    merge(plan, "b", 3, attrs.evolve(COPY, complete=False))
    assert plan.waits_for_hints


def test_hints_are_waited_for_before_a_loss_is_told() -> None:
    plan, port, ended = plan_of()
    lose(plan, port)
    port.now_s += 1.0
    hear(plan, "a", hints=1)
    hear(plan, "b", BitMap([3]))
    assert not ended
    port.now_s += 1.0
    hear(plan, "a", hints=0)
    hear(plan, "b", BitMap([3]))
    plan.step()
    assert ended == [(3, 50)]
    assert plan.endings[Ending.EVERYONE] == 1
    assert not plan.waits_for_hints
    assert port.notes == [("memory.lost", "error", {"partitions": 1, "among_them": [3]})]


@pytest.mark.parametrize("away", [False, True])
def test_the_wait_for_hints_has_an_end(away: bool) -> None:
    plan, port, ended = plan_of()
    lose(plan, port)
    plan.sources["a"].is_up = not away
    port.now_s += plan.settings.hints_wait_s - 0.1
    plan.step()
    assert not ended
    port.now_s += 0.2
    plan.step()
    assert len(ended) == 1


def test_someone_elses_progress_renews_patience() -> None:
    plan, port, _ = plan_of()
    plan.add([3, 4])
    hear(plan, "a")
    hear(plan, "b", BitMap([3, 4]))
    for partition in (3, 4):
        merge(plan, "a", partition, COPY)
    port.now_s += plan.settings.patience_s - 0.1
    hear(plan, "b", BitMap([3]))
    assert plan.sources["b"].todo == BitMap([4])
    port.now_s += plan.settings.patience_s - 0.1
    plan.step()
    assert 3 not in plan.sources["b"].todo
    port.now_s += 0.2
    plan.step()
    assert 3 in plan.sources["b"].todo


def test_patience_begins_anew_when_an_owner_is_back() -> None:
    plan, port, _ = plan_of()
    plan.add([3])
    hear(plan, "a")
    merge(plan, "a", 3, COPY)
    port.now_s += 10 * plan.settings.patience_s
    plan.step()
    hear(plan, "b", BitMap([3]))
    assert not plan.sources["b"].todo, "it may be complete in a moment"
    port.now_s += plan.settings.patience_s
    plan.step()
    assert plan.sources["b"].todo == BitMap([3])


def test_what_waits_for_very_long_is_merged_again_in_time() -> None:
    plan, port, ended = plan_of()
    plan.add([3])
    hear(plan, "a")
    merge(plan, "a", 3, attrs.evolve(COPY, since_ms=port.now_ms))
    assert plan.sources["a"].complete
    for _ in range(20):
        port.now_ms += 1_000
        plan.step()
        if plan.sources["a"].todo:
            merge(plan, "a", 3, attrs.evolve(COPY, since_ms=port.now_ms))
            assert port.now_ms >= 6_000
    assert not plan.store.stale
    hear(plan, "b")
    merge(plan, "b", 3, attrs.evolve(COPY, since_ms=port.now_ms))
    ((_, since_ms),) = ended
    assert since_ms >= port.now_ms - 6_000, "not since the first time"


def test_incomplete_copies_are_merged_again_no_more_often_than_others() -> None:
    plan, port, ended = plan_of()
    plan.add([3])
    port.now_ms += 6_000
    for name in "ab":
        hear(plan, name, BitMap([3]), hints=1)
    port.now_s += plan.settings.patience_s + 0.1
    for name in "ab":
        merge(plan, name, 3, Begun(0, complete=False, since_ms=port.now_ms))
    port.now_ms += 4_000
    plan.step()
    assert plan.waits_for_hints
    for name in "ab":
        hear(plan, name, BitMap([3]))
    plan.step()
    assert [partition for partition, _ in ended] == [3], "two that lost their memory would wait for each other for ever"


def test_what_cannot_be_merged_for_very_long_becomes_stale_and_stays_so() -> None:
    plan, port, ended = plan_of()
    plan.add([3])
    for _ in range(10):
        port.now_ms += 1_000
        plan.step()
    assert not plan.store.stale
    plan.add([4])
    for _ in range(2):
        port.now_ms += 1_000
        plan.step()
    assert plan.store.stale == BitMap([3])
    hear(plan, "a")
    hear(plan, "b")
    for partition in (3, 4):
        for name in "ab":
            merge(plan, name, partition, attrs.evolve(COPY, since_ms=port.now_ms))
    assert len(ended) == 2
    assert plan.store.stale == BitMap([3])
