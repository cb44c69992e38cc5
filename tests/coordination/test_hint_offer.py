"""Offers of hints: what counts is what owners took, in every set of owners, each position by itself."""

from dynacache.coordination.hint_offer import Offer, OfferedHint
from dynacache.repair.hints import Hint
from dynacache.types import Level
from dynacache.versioning import packed
from dynacache.wire.messages import DONE, SET, WRITE
from tests.fake_cluster import FakeCluster


class _Told:
    """Remembers what became of each hint."""

    def __init__(self) -> None:
        self.reached: dict[bytes, bool] = {}

    def offered(self, hint: OfferedHint, reached: bool) -> None:
        """Take note."""
        assert hint.key not in self.reached, "told once"
        self.reached[hint.key] = reached


def _offer(cluster: FakeCluster, name: str, count: int = 3, level: int = Level.ALL) -> _Told:
    """Let a node offer hints for ``count`` keys of one route."""
    told, hints = _Told(), []
    node = cluster.nodes[name]
    for number in range(count):
        key = b"key %d" % number
        assert cluster.ask("n1", [SET, key, 1, b"value", level, 100])[0] == DONE
        record = packed.strip_local(cluster.record("n1", key) or b"")
        for each in cluster.nodes.values():
            each.engine.remove(cluster.partition(key), key)
        hint = Hint(cluster.partition(key), record, node.shared.now_ms, True)
        hints.append(OfferedHint("n9", key, hint, record))
    cluster._turn(name, [], [])
    Offer(node.shared, node.shared.routes.route(hints[0].hint.partition), hints, told).start()
    cluster.perform(name, node.shared.effects)
    return told


def test_hints_reach_all_owners_in_one_message_each() -> None:
    cluster = FakeCluster(3, repair=False)
    cluster.seen.clear()
    told = _offer(cluster, "n1")
    cluster.run(0.1)
    assert told.reached == {b"key 0": True, b"key 1": True, b"key 2": True}
    assert cluster.holders(b"key 0") == ["n1", "n2", "n3"]
    assert len([1 for *_, content in cluster.seen if content[0] == WRITE]) == 3 * 2 + 2


def test_alone_nothing_is_reached() -> None:
    cluster = FakeCluster(3, repair=False)
    told = _offer(cluster, "n1", 1)
    cluster.cut_link("n1", "n2")
    cluster.cut_link("n1", "n3")
    cluster.run(0.1)
    assert told.reached == {b"key 0": False}


def test_what_a_stale_copy_took_does_not_count() -> None:
    cluster = FakeCluster(3, repair=False)
    for name in ("n2", "n3"):
        cluster.nodes[name].engine.stale.update(range(1024))
    told = _offer(cluster, "n1", 2, Level.ONE)
    cluster.run(0.1)
    assert told.reached == {b"key 0": False, b"key 1": False}
    assert cluster.holders(b"key 0") == ["n1", "n2", "n3"], "but it is taken"


def test_an_owner_without_room_is_left_out_by_position() -> None:
    cluster = FakeCluster(3, repair=False)
    told = _offer(cluster, "n1", 2)
    for name in ("n2", "n3"):
        cluster.nodes[name].engine.set_limit(1)
    cluster.run(0.1)
    assert told.reached == {b"key 0": False, b"key 1": False}
