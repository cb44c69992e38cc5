"""Lives on made-up evidence: what a write, a touch and a read may make of them."""

from typing import Any

import msgpack
import pytest

from dynacache.versioning import packed
from dynacache.versioning.attachments import attach_life
from sim.checkers.i03_lives import Settings, check, settings_held
from sim.evidence import CatalogueEvent
from sim.history import OperationKind
from sim.options import Options
from tests.sim.story import KEY, Story


class Lived(Story):
    """A story whose settings may change."""

    def __init__(self) -> None:
        super().__init__(Options(sliding_share=0.5))
        self.catalogue: list[CatalogueEvent] = []

    def configure(self, node: str, **settings: int) -> None:
        """Let a node take settings of the default namespace."""
        value = msgpack.packb(settings)
        incarnation = self.issuers[node].incarnation
        self.catalogue.append(CatalogueEvent(self.step(), self.now_s, node, incarnation, b"N", self.sequence, value))

    def slide(self, node: str, ttl_ms: int) -> None:
        """Let a node mint a sliding value, written by a client."""
        flags, payload = attach_life(packed.RAW | packed.SLIDING, b"v", ttl_ms)
        self.ticks += 1
        now_ms = self.now_ms() + 10
        time = (now_ms << 16) + self.ticks
        record, _ = packed.write(None, self.issuers[node], time, now_ms + ttl_ms, flags, payload, now_ms, None)
        begun = self.step() - 1
        self.now_s -= 0.01
        self.put(node, record)
        self.call(OperationKind.SET, begun=begun, value=b"v", ttl_s=ttl_ms / 1000)

    def renew(self, node: str, ttl_ms: int) -> None:
        """Let a node give its value so long to live from now."""
        self.put(node, packed.touch(self.held[node, KEY], self.now_ms() + 10 + ttl_ms))

    def texts(self) -> list[str]:
        """Judge it."""
        return [violation.text for violation in check(self.evidence(catalogue=tuple(self.catalogue)))]


def written(story: Lived, life_ms: int, asked_ms: int = 0) -> None:
    """Let a client write with a time to live, and node a mint with one."""
    begun = story.step()
    # The mint is stamped a hundredth of a second before the store changes.
    story.mint("a", b"v", ttl_ms=life_ms + 10 if life_ms else 0)
    given: dict[str, Any] = {"ttl_s": asked_ms / 1000} if asked_ms else {}
    story.call(OperationKind.SET, begun=begun, value=b"v", **given)


@pytest.mark.parametrize(
    ("settings", "asked_ms", "life_ms"),
    [
        ({}, 3_000, 3_000),
        ({}, 0, 0),
        ({"default_ttl_ms": 2_000}, 0, 2_000),
        ({"default_ttl_ms": 2_000}, 3_000, 3_000),
        ({"maximum_ttl_ms": 2_000}, 3_000, 2_000),
        ({"maximum_ttl_ms": 2_000}, 0, 2_000),
    ],
)
def test_a_write_has_the_life_that_it_and_its_namespace_say(
    settings: dict[str, int], asked_ms: int, life_ms: int
) -> None:
    story = Lived()
    story.configure("a", **settings)
    story.now_s += 10.0
    written(story, life_ms, asked_ms)
    assert story.texts() == []
    other = Lived()
    other.configure("a", **settings)
    other.now_s += 10.0
    written(other, life_ms + 500, asked_ms)
    assert "was given a life of" in other.texts()[0]


def test_settings_count_as_the_coordinator_held_them_of_late() -> None:
    story = Lived()
    story.configure("a", maximum_ttl_ms=1_000)
    story.configure("b", maximum_ttl_ms=5_000)
    story.now_s += 3.0
    story.configure("a", maximum_ttl_ms=2_000)
    written(story, 1_000, 3_000)
    written(story, 2_000, 3_000)
    assert story.texts() == []
    evidence = story.evidence(catalogue=tuple(story.catalogue))
    assert settings_held(evidence, story.events[-1], 5.0) == {
        Settings(), Settings(maximum_ttl_ms=1_000), Settings(maximum_ttl_ms=2_000),
    }  # fmt: skip
    assert settings_held(evidence, story.events[-1], 0.5) == {
        Settings(maximum_ttl_ms=1_000), Settings(maximum_ttl_ms=2_000),
    }  # fmt: skip


def test_a_read_renews_a_sliding_life_up_to_its_own() -> None:
    story = Lived()
    story.slide("a", 3_000)
    story.now_s += 1.0
    story.renew("a", 3_000)
    assert story.texts() == []
    story.renew("a", 3_500)
    assert "expected at most 3000 ms" in story.texts()[0]


def test_a_renewal_beyond_the_maximum_is_a_breach() -> None:
    story = Lived()
    story.slide("a", 3_000)
    story.now_s += 10.0
    story.configure("a", maximum_ttl_ms=2_000)
    story.now_s += 10.0
    story.renew("a", 2_000)
    assert story.texts() == []
    story.renew("a", 3_000)
    assert "expected at most 2000 ms" in story.texts()[0]


def test_a_life_that_nobody_renewed_is_a_breach() -> None:
    story = Lived()
    written(story, 3_000, 3_000)
    story.renew("a", 4_000)
    assert "expected at most -1 ms" in story.texts()[0]
    story = Lived()
    written(story, 3_000, 3_000)
    story.call(OperationKind.TOUCH, ttl_s=4.0)
    story.renew("a", 4_000)
    assert story.texts() == []


def test_without_settings_and_sliding_values_nothing_is_judged() -> None:
    story = Lived()
    story.options = Options()
    written(story, 3_000, 1_000)
    assert story.texts() == []
