"""Links: reachable or not, failure accrual, epochs."""

from dynacache.config import CoordinationConfig
from dynacache.coordination.links import Links


def _linked() -> Links:
    links = Links(CoordinationConfig())
    links.connected("a", 1, bulk=False, now_s=0.0)
    links.connected("a", 2, bulk=True, now_s=0.0)
    return links


def test_a_peer_is_usable_while_its_request_connection_lives() -> None:
    links = _linked()
    assert links.usable("a")
    assert not links.usable("nobody")
    links.disconnected(2)
    assert links.usable("a"), "bulk is not needed for requests"
    links.disconnected(1)
    assert not links.usable("a")
    assert links.disconnected(99) is None


def test_blocked_and_down_peers_are_not_asked() -> None:
    links = _linked()
    links.set_blocked(1, True)
    assert not links.usable("a")
    links.set_blocked(1, False)
    links.set_down("a", True)
    assert not links.usable("a")
    links.set_down("a", False)
    assert links.usable("a")


def test_consecutive_failures_avoid_a_peer_for_a_while_that_doubles() -> None:
    links = _linked()
    link = links.by_node["a"]
    pauses = []
    now_s = 0.0
    for _ in range(6):
        while links.usable("a"):
            links.failed(link, now_s)
        pauses.append(link.avoid_until_s - now_s)
        now_s = link.avoid_until_s
        links.tick(now_s - 0.001)
        assert not links.usable("a")
        links.tick(now_s)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    links.succeeded(link, 1.0)
    for _ in range(2):
        links.failed(link, now_s)
    assert links.usable("a"), "a success starts the count again"


def test_the_epoch_grows_exactly_when_reachability_changes() -> None:
    links = _linked()
    before = links.epoch
    links.set_down("a", False)
    links.set_blocked(1, False)
    links.failed(links.by_node["a"], 0.0)
    links.tick(1.0)
    assert links.epoch == before
    links.set_down("a", True)
    assert links.epoch == before + 1


def test_a_new_connection_forgives() -> None:
    links = _linked()
    for _ in range(3):
        links.failed(links.by_node["a"], 0.0)
    assert not links.usable("a")
    links.connected("a", 3, bulk=False, now_s=0.1)
    links.failed(links.by_node["a"], 0.1)
    assert links.usable("a"), "the count starts again"
