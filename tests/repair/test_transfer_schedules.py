"""Transfers under random schedules: nodes die and come back empty, links are cut, members join and leave, keys arrive.

What is demanded: nothing raises; nothing is warming that is not owned; when everything is whole again, every copy
becomes complete within a minute; and each key that reached a quorum in every set of owners is still held by one, so
that any quorum of readers meets it, although nothing but transfers has repaired anything.
"""

from random import Random

import pytest

from dynacache.config.transfer import TransferConfig
from dynacache.placement.table import MemberState
from tests.repair.transfer_world import World, fill, partition_at, record_of, table_of

NORMAL = MemberState.NORMAL
STEADY = dict.fromkeys("abcd", NORMAL)
AFTER = {
    MemberState.OUTSIDE: MemberState.JOINING,
    MemberState.JOINING: MemberState.SETTLING,
    MemberState.SETTLING: NORMAL,
    NORMAL: MemberState.LEAVING,
    MemberState.LEAVING: MemberState.RETIRING,
    MemberState.RETIRING: MemberState.LEFT,
}


class Schedule:
    """One random run over five nodes, of which the last joins and leaves."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        options = TransferConfig(page_bytes=4_096, pull_timeout_ms=300, hints_wait_s=5.0, patience_s=2.0)
        self.state = MemberState.OUTSIDE
        self.world = World(table_of({**STEADY, "e": self.state}, 16), settings=options, settle_s=0.2)
        self.keys = fill(self.world, 400, 100)

    def step(self) -> None:
        """Do one thing and let a moment pass."""
        self.random.choice((self.restart, self.cut, self.mend, self.write, self.turn, self.wait, self.lose_answers))()
        self.world.run(self.random.choice((0.001, 0.01, 0.1, 1.0)))
        for member in self.world.members.values():
            assert not member.store.warming - member.placement.owned_by(member.node_id)

    def restart(self) -> None:
        """One node dies and comes back; only when all is whole, so that no more than one copy is lost at a time."""
        if self.is_whole():
            self.world.restart(self.random.choice(sorted(self.world.members)))

    def cut(self) -> None:
        """A link is cut."""
        self.world.cut_link(*self.random.sample(sorted(self.world.members), 2))

    def mend(self) -> None:
        """All links are whole."""
        self.world.cut.clear()

    def lose_answers(self) -> None:
        """The next answers are lost."""
        self.world.lose_answers = self.random.randrange(3)

    def write(self) -> None:
        """New keys reach a quorum in each set of their owners, and no more."""
        placement = self.world.members["a"].placement
        for _ in range(20):
            key = b"new %d" % self.random.randrange(1 << 30)
            record, partition = record_of(50), partition_at(self.world.members["a"], key)
            for owners in placement.write_sets(partition):
                for name in self.random.sample(sorted(owners), 2):
                    self.world.members[name].store.put(key, record)
            self.keys.append(key)

    def wait(self) -> None:
        """Nothing happens."""
        self.world.run(2.0)

    def turn(self) -> None:
        """The fifth node's state goes on, as its ring change would let it."""
        following = AFTER.get(self.state)
        if following is None or not self.is_whole():
            return
        self.state = following
        self.world.set_table(table_of({**STEADY, "e": self.state}, 16))

    def is_whole(self) -> bool:
        """Whether every copy is complete."""
        return not any(member.store.warming for member in self.world.members.values())


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_all_become_complete_and_hold_what_they_own(seed: int) -> None:
    schedule = Schedule(seed)
    for _ in range(60):
        schedule.step()
    world = schedule.world
    schedule.mend()
    world.lose_answers = 0
    world.run(60.0)
    assert schedule.is_whole()
    members = world.members
    assert not sum(int(str(each.core.statistics()["memory_lost"])) for each in members.values()), "one copy at a time"
    for key in schedule.keys:
        owners = members["a"].placement.owners(partition_at(members["a"], key))
        assert sum(members[name].store.get(key) is not None for name in owners) >= 2, key
