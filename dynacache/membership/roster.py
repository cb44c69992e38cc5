"""The member table of one node, with the indexes that keep every periodic step independent of the size of the
cluster.

Besides the records by id there are: the contacts, a list from which random gossip targets are drawn (live members and
those that died lately); the members that are down, for reconnecting and forgetting; the live count; the node at each
address. Records only ever grow in the order of `state`.

Members of the ring are never forgotten, whatever their state, since a half of a split that forgot the other would
never look for it again (memberlist issue 222 and its kin). Other members that are down go after a day.

Invariants: `put` takes no record that is not larger than the one it replaces; indexes agree with the records; at most
`members_limit` records.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import attrs

from dynacache.config.membership import MembershipConfig
from dynacache.membership.state import Address, Member, NodeState

__all__ = ["Roster"]

_DRAWS_PER_CONTACT = 8
"""Random draws tried for each wanted contact before fewer are returned."""


@attrs.define
class Roster:
    """All members by id, this node included."""

    _config: MembershipConfig
    own: Member
    live_count: int = 0
    ring_ids: frozenset[str] = frozenset()
    get: Callable[[str], Member | None] = attrs.field(init=False, repr=False, eq=False)
    """The record of that node, if it is known; the table's own look-up, since everything begins with it."""
    _members: dict[str, Member] = attrs.field(factory=dict)
    _by_address: dict[Address, str] = attrs.field(factory=dict)
    _contacts: list[str] = attrs.field(factory=list)
    _contact_index: dict[str, int] = attrs.field(factory=dict)
    _down_since_s: dict[str, float] = attrs.field(factory=dict)
    _to_forget: deque[tuple[float, str]] = attrs.field(factory=deque)

    def __attrs_post_init__(self) -> None:
        self.get = self._members.get
        self._members[self.own.node_id] = self.own
        self._by_address[self.own.address] = self.own.node_id
        self.live_count = 1 if self.own.is_live else 0

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    @property
    def is_full(self) -> bool:
        """True if no further member is taken in."""
        return len(self._members) >= self._config.members_limit

    @property
    def contacts_count(self) -> int:
        """How many members gossip may go to."""
        return len(self._contacts)

    def at(self, address: Address) -> Member | None:
        """The record of the node that listens there, if it is known."""
        node_id = self._by_address.get(address)
        return None if node_id is None else self._members[node_id]

    def put(self, member: Member, now_s: float) -> None:
        """Take in a record that is larger than the one held; raises AssertionError otherwise."""
        node_id = member.node_id
        known = self._members.get(node_id)
        is_live = member.is_live
        if known is None:
            assert not self.is_full
            self.live_count += is_live
            self._by_address[member.address] = node_id
        else:
            assert member.order_key > known.order_key
            self.live_count += is_live - known.is_live
            if member.host != known.host or member.port != known.port:
                self._move(node_id, known.address, member.address)
        self._members[node_id] = member
        if node_id == self.own.node_id:
            self.own = member
            return
        if is_live:
            self._down_since_s.pop(node_id, None)
        elif node_id not in self._down_since_s:
            self._down_since_s[node_id] = now_s
            self._to_forget.append((now_s + self._config.forget_after_s, node_id))
        if member.state is NodeState.LEFT:
            self._remove_contact(node_id)
        elif node_id not in self._contact_index:
            self._add_contact(node_id)

    def draw(self, random_source: random.Random, count: int, now_s: float) -> list[Member]:
        """Up to `count` different random members that gossip goes to."""
        if count >= len(self._contacts):
            everybody = random_source.sample(self._contacts, len(self._contacts))
            return [self._members[node_id] for node_id in everybody if self._is_contact(node_id, now_s)]
        chosen: dict[str, Member] = {}
        for _ in range(count * _DRAWS_PER_CONTACT):
            if len(chosen) >= count or not self._contacts:
                break
            node_id = self._contacts[random_source.randrange(len(self._contacts))]
            if self._is_contact(node_id, now_s):
                chosen[node_id] = self._members[node_id]
        return list(chosen.values())

    def draw_live(
        self, random_source: random.Random, count: int, now_s: float, wanted: Callable[[Member], bool]
    ) -> list[Member]:
        """Up to `count` different random members for which `wanted` is true, among ALIVE ones."""
        drawn = self.draw(random_source, count * 2 + 2, now_s)
        return [member for member in drawn if member.state is NodeState.ALIVE and wanted(member)][:count]

    def down(self) -> list[Member]:
        """Members worth contacting again: DEAD ones, and those that stopped but keep their place in the ring."""
        members = [self._members[node_id] for node_id in self._down_since_s]
        return [member for member in members if member.state is NodeState.DEAD or member.stopped]

    def set_ring(self, node_ids: Iterable[str]) -> None:
        """These members are never forgotten."""
        self.ring_ids = frozenset(node_ids)

    def forget_due(self, now_s: float) -> list[str]:
        """Forget whoever has been down for long enough; returns their ids."""
        forgotten: list[str] = []
        while self._to_forget and self._to_forget[0][0] <= now_s:
            node_id = self._to_forget.popleft()[1]
            since_s = self._down_since_s.get(node_id)
            if since_s is None:
                continue
            if node_id in self.ring_ids or since_s + self._config.forget_after_s > now_s:
                self._to_forget.append((now_s + self._config.forget_after_s, node_id))
                continue
            self._forget(node_id)
            forgotten.append(node_id)
        return forgotten

    def next_forget_s(self) -> float:
        """When `forget_due` has something to look at; infinity if never."""
        return self._to_forget[0][0] if self._to_forget else math.inf

    def _is_contact(self, node_id: str, now_s: float) -> bool:
        """False, and no contact any more, for one that died too long ago."""
        since_s = self._down_since_s.get(node_id)
        if since_s is None or now_s - since_s <= self._config.gossip_to_dead_s:
            return True
        self._remove_contact(node_id)
        return False

    def _forget(self, node_id: str) -> None:
        member = self._members.pop(node_id)
        del self._down_since_s[node_id]
        if self._by_address.get(member.address) == node_id:
            del self._by_address[member.address]
        self._remove_contact(node_id)

    def _move(self, node_id: str, old: Address, new: Address) -> None:
        if self._by_address.get(old) == node_id:
            del self._by_address[old]
        self._by_address[new] = node_id

    def _add_contact(self, node_id: str) -> None:
        self._contact_index[node_id] = len(self._contacts)
        self._contacts.append(node_id)

    def _remove_contact(self, node_id: str) -> None:
        index = self._contact_index.pop(node_id, None)
        if index is None:
            return
        last = self._contacts.pop()
        if last != node_id:
            self._contacts[index] = last
            self._contact_index[last] = index
