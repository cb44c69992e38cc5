"""Routes follow from placement and links, and are shared by partitions that agree."""

import attrs
import pytest
from pyroaring import BitMap

from dynacache.config import CoordinationConfig
from dynacache.coordination.links import Links
from dynacache.coordination.routes import Routes
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberEntry, MemberState, MemberTable
from dynacache.types import Level

NAMES = ("a", "b", "c", "d", "e")
PLACEMENT = Placement.from_table(
    MemberTable.of(b"c" * 16, 64, 3, [MemberEntry(name, 1, 1, MemberState.NORMAL, "", 1, name, 1) for name in NAMES])
)


def _changing(state: MemberState) -> Placement:
    """A placement in which ``f`` joins (or leaves) the five."""
    entries = [MemberEntry(name, 1, 1, MemberState.NORMAL, "", 1, name, 1) for name in NAMES]
    return Placement.from_table(
        MemberTable.of(b"c" * 16, 64, 3, [*entries, MemberEntry("f", 1, 1, state, "", 1, "f", 1)])
    )


@attrs.define
class _Copies:
    """What the engine says of its copies."""

    warming: BitMap = attrs.field(factory=BitMap)
    stale: BitMap = attrs.field(factory=BitMap)


def _routes(*connected: str) -> Routes:
    links = Links(CoordinationConfig())
    for number, name in enumerate(connected, start=1):
        links.connected(name, number, bulk=False, now_s=0.0)
    routes = Routes("a", PLACEMENT, links)
    routes.refresh()
    return routes


def _partition(position: int | None) -> int:
    """Return a partition where ``a`` stands at that place of the preference, or owns nothing (None)."""
    for partition in range(64):
        owners = PLACEMENT.owners(partition)
        if (position is None and "a" not in owners) or (position is not None and owners[position] == "a"):
            return partition
    raise AssertionError


def test_an_owner_sends_to_the_two_others() -> None:
    routes = _routes("b", "c", "d", "e")
    partition = _partition(0)
    route = routes.route(partition)
    assert route.is_owner
    assert route.coordinates
    assert [each.node_id for each in route.others] == [name for name in PLACEMENT.owners(partition) if name != "a"]
    assert (route.absent, route.fallbacks) == ((), ())
    assert [route.write_needed[level] for level in (1, 2, 3, 4)] == [0, 1, 1, 2]


def test_partitions_with_the_same_owners_share_a_route() -> None:
    routes = _routes("b", "c", "d", "e")
    by_owners: dict[frozenset[str], set[int]] = {}
    for partition in range(64):
        owners = PLACEMENT.owners(partition)
        if "a" in owners:
            by_owners.setdefault(frozenset(owners), set()).add(id(routes.route(partition)))
    assert by_owners
    assert all(len(each) == 1 for each in by_owners.values())


def test_a_fallback_stands_in_for_each_owner_that_is_away() -> None:
    partition = _partition(0)
    owners = PLACEMENT.owners(partition)
    spare = [name for name in PLACEMENT.preference(partition) if name not in owners]
    routes = _routes(owners[1], *spare)
    route = routes.route(partition)
    assert route.absent == (owners[2],)
    assert [(each.node_id, each.stands_for) for each in route.fallbacks] == [(spare[0], owners[2])]
    assert [route.write_needed[level] for level in (1, 2, 3, 4)] == [0, 1, 1, -1]


def test_alone_only_level_one_is_left() -> None:
    route = _routes().route(_partition(1))
    assert [route.write_needed[level] for level in (1, 2, 3, 4)] == [0, -1, -1, -1]


def test_a_node_that_owns_nothing_here_forwards_to_the_owners() -> None:
    routes = _routes("b", "c", "d", "e")
    partition = _partition(None)
    route = routes.route(partition)
    assert not route.coordinates
    assert route.forward_to[0] == routes.links.by_node[PLACEMENT.owners(partition)[0]].connection


def test_without_owners_a_fallback_coordinates() -> None:
    partition = _partition(None)
    route = _routes().route(partition)
    assert route.coordinates
    assert not route.is_owner
    assert route.self_stands_for in PLACEMENT.owners(partition)
    assert route.write_needed[Level.ONE] == 0
    assert route.write_needed[Level.STRICT_QUORUM] == -1


def test_without_any_member_nobody_serves_anything() -> None:
    nobody = Placement.from_table(
        MemberTable.of(b"c" * 16, 64, 3, [MemberEntry("a", 1, 1, MemberState.LEFT, "", 1, "a", 1)])
    )
    routes = _routes()
    routes.replace(nobody)
    routes.refresh()
    route = routes.route(0)
    assert not route.coordinates
    assert route.forward_to == ()
    assert not route.complete


def test_routes_are_forgotten_when_links_change() -> None:
    routes = _routes("b", "c", "d", "e")
    partition = _partition(0)
    before = routes.route(partition)
    routes.refresh()
    assert routes.route(partition) is before
    routes.links.set_down(before.others[0].node_id, True)
    routes.refresh()
    assert routes.route(partition).others[0] != before.others[0]


def _in(placement: Placement, own: str, copies: _Copies, *connected: str) -> Routes:
    links = Links(CoordinationConfig())
    for number, name in enumerate(connected, start=1):
        links.connected(name, number, bulk=False, now_s=0.0)
    routes = Routes(own, placement, links, copies)
    routes.refresh()
    return routes


@pytest.mark.parametrize(
    "state", [MemberState.JOINING, MemberState.SETTLING, MemberState.LEAVING, MemberState.RETIRING]
)
def test_reads_ask_readers_and_writes_go_to_every_set(state: MemberState) -> None:
    placement = _changing(state)
    assert placement.in_transition
    for partition in range(64):
        owners, readers = placement.write_owners(partition), placement.owners(partition)
        own = readers[0]
        route = _in(placement, own, _Copies(), *(name for name in (*NAMES, "f") if name != own)).route(partition)
        assert {each.node_id for each in route.others} == set(owners) - {own}
        assert {each.node_id for each in route.sources} == set(readers) - {own}
        assert [each.node_id for each in route.spares] == [name for name in owners if name not in readers]
        assert (route.sources == route.others) == (len(placement.write_sets(partition)) == 1)
        assert route.coordinates
        assert route.complete


def test_an_owner_that_does_not_read_forwards_to_one_that_does_while_it_can() -> None:
    placement = _changing(MemberState.JOINING)
    partition = next(each for each in range(64) if "f" in placement.write_owners(each))
    readers = placement.owners(partition)
    route = _in(placement, "f", _Copies(), *NAMES).route(partition)
    assert (route.is_owner, route.complete, route.coordinates) == (True, False, False)
    assert len(route.forward_to) == len(readers)
    alone = _in(placement, "f", _Copies()).route(partition)
    assert alone.coordinates, "always writable"
    assert not alone.complete


def test_a_level_must_be_reachable_in_every_set_of_owners() -> None:
    placement = _changing(MemberState.JOINING)
    partition = next(each for each in range(64) if len(placement.write_sets(each)) > 1)
    read, new = placement.owners(partition), placement.new(partition)
    both = [name for name in read if name in new]
    (lost,) = set(read) - set(new)
    route = _in(placement, both[0], _Copies(), both[1]).route(partition)
    assert route.write_needed[Level.STRICT_QUORUM] == 1, "two of each set"
    route = _in(placement, both[0], _Copies(), lost).route(partition)
    assert route.write_needed[Level.STRICT_QUORUM] == -1, "one of New is too few"
    assert route.write_needed[Level.ONE] == 0


def test_a_copy_that_is_being_filled_is_not_complete_but_counts_for_writes() -> None:
    copies = _Copies()
    routes = _in(PLACEMENT, "a", copies, "b", "c", "d", "e")
    partition = _partition(0)
    assert routes.route(partition).complete
    copies.warming.add(partition)
    routes.refresh()
    route = routes.route(partition)
    assert (route.complete, route.counts_self) == (False, True)
    assert route.write_needed[Level.QUORUM] == 1
    copies.warming.clear()
    routes.refresh()
    assert routes.route(partition).complete


def test_a_stale_copy_counts_for_writes_at_level_one_alone() -> None:
    copies = _Copies(stale=BitMap(range(64)))
    partition = _partition(0)
    route = _in(PLACEMENT, "a", copies, "b", "c", "d", "e").route(partition)
    assert (route.complete, route.counts_self) == (False, False)
    assert [route.write_needed[level] for level in (1, 2, 3, 4)] == [0, 2, 2, -1]
