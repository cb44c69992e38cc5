"""What looks again and again: it looks while its context lasts, and never after."""

import threading

import attrs

from dynacache.cli.bench.repeated import Repeated


@attrs.define(eq=False)
class Counted(Repeated):
    enough: threading.Event = attrs.field(init=False, factory=threading.Event)
    looks: int = attrs.field(init=False, default=0)

    def look(self) -> None:
        self.looks += 1
        if self.looks == 3:
            self.enough.set()


def test_it_looks_until_the_context_is_left() -> None:
    counted = Counted()
    counted.interval_s = 0.001
    with counted:
        assert counted.enough.wait(30.0)
    assert not counted._thread.is_alive()
    assert counted.looks >= 3
