"""One descriptor that stands for many: epoll on Linux, kqueue on macOS, behind one small face.

What: sockets are registered for reading; writability is asked for only while a socket is full. `poll` does not wait
unless it is asked to: the waiting is done by Trio on the poller's own descriptor, which is readable when anything in it
is ready.

Invariant: level-triggered, so an event that a turn leaves unread comes again; no more than `limit` events a call, which
the kernel hands out in turns, so a busy socket cannot hide a quiet one.

Why not `selectors`: its `select` builds a key object for every event, which costs about as much as receiving the
message. Here an event is the kernel's own pair (descriptor, mask).
"""

import select
import sys
from typing import Final

__all__ = ["ERROR", "READABLE", "WRITABLE", "Poller"]

READABLE: Final = 1
"""A read will not block. Same bits as epoll's, so its events pass through untouched."""
WRITABLE: Final = 4
ERROR: Final = 8 | 16
"""The socket failed or was hung up; reading it tells how."""

if sys.platform == "linux":

    class Poller:
        """Epoll, level-triggered."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self.fileno = self._epoll.fileno
            self._poll = self._epoll.poll

        def poll(self, limit: int, timeout_s: float = 0.0) -> list[tuple[int, int]]:
            """Return what is ready, as (descriptor, mask); block until something is, at most so long."""
            return self._poll(timeout_s, limit)

        def register(self, descriptor: int, mask: int = READABLE) -> None:
            """Begin to watch a descriptor."""
            self._epoll.register(descriptor, mask)

        def modify(self, descriptor: int, mask: int) -> None:
            """Change what is watched; 0 leaves errors only."""
            self._epoll.modify(descriptor, mask)

        def unregister(self, descriptor: int) -> None:
            """Stop watching; call it before the descriptor is closed."""
            self._epoll.unregister(descriptor)

        def close(self) -> None:
            """Give the poller's own descriptor back."""
            self._epoll.close()

else:

    class Poller:
        """Kqueue, level-triggered; reading and writing are two filters of one descriptor."""

        def __init__(self) -> None:
            self._kqueue = select.kqueue()
            self.fileno = self._kqueue.fileno
            self._masks: dict[int, int] = {}

        def poll(self, limit: int, timeout_s: float = 0.0) -> list[tuple[int, int]]:
            """Return what is ready, as (descriptor, mask); block until something is, at most so long."""
            ready: dict[int, int] = {}
            for event in self._kqueue.control(None, limit, timeout_s):
                mask = READABLE if event.filter == select.KQ_FILTER_READ else WRITABLE
                ready[event.ident] = ready.get(event.ident, 0) | mask
            return list(ready.items())

        def register(self, descriptor: int, mask: int = READABLE) -> None:
            """Begin to watch a descriptor."""
            self._masks[descriptor] = 0
            self.modify(descriptor, mask)

        def modify(self, descriptor: int, mask: int) -> None:
            """Change what is watched; 0 watches nothing."""
            before, self._masks[descriptor] = self._masks[descriptor], mask
            filters = ((READABLE, select.KQ_FILTER_READ), (WRITABLE, select.KQ_FILTER_WRITE))
            changes = [
                select.kevent(descriptor, name, select.KQ_EV_ADD if mask & bit else select.KQ_EV_DELETE)
                for bit, name in filters
                if (mask ^ before) & bit
            ]
            if changes:
                self._kqueue.control(changes, 0, 0)

        def unregister(self, descriptor: int) -> None:
            """Stop watching; call it before the descriptor is closed."""
            self.modify(descriptor, 0)
            del self._masks[descriptor]

        def close(self) -> None:
            """Give the poller's own descriptor back."""
            self._kqueue.close()
