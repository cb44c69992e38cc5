"""Wait for many sockets, and for an instant, with as little ceremony as the system allows.

What: `Poller` hides epoll, or kqueue where there is none; `poll_precisely` waits for a socket or for a moment that may
be less than a millisecond away.

Invariant: a descriptor that has something to read is reported at every call until it is read (level-triggered).

Why not `selectors`: it builds an object for each ready socket at each turn, which at one request a turn is a fifth of
what the generator spends. And epoll counts its timeout in whole milliseconds, too coarse to send 5,000 requests a
second on schedule; select() takes microseconds, and an epoll descriptor can itself be waited for.
"""

import select
import sys
from collections.abc import Sequence

__all__ = ["Poller"]

_EVENTS_LIMIT = 4096

if sys.platform == "linux":

    class Poller:
        """The sockets one loop waits for, by descriptor."""

        def __init__(self) -> None:
            """Start with none."""
            self._epoll = select.epoll()

        def register(self, descriptor: int) -> None:
            """Report when there is something to read."""
            self._epoll.register(descriptor, select.EPOLLIN)

        def want_writable(self, descriptor: int, wanted: bool) -> None:
            """Report, or no longer, when there is room to write."""
            self._epoll.modify(descriptor, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

        def poll(self, timeout_s: float) -> Sequence[tuple[int, int]]:
            """Wait at most so long; return (descriptor, anything) of the sockets that are ready."""
            return self._epoll.poll(timeout_s, _EVENTS_LIMIT)

        def poll_precisely(self, timeout_s: float) -> Sequence[tuple[int, int]]:
            """The same with a timeout kept to the microsecond, at the price of a second system call."""
            if timeout_s > 0:
                select.select([self._epoll], [], [], timeout_s)
            return self._epoll.poll(0, _EVENTS_LIMIT)

        def close(self) -> None:
            """Release the descriptor."""
            self._epoll.close()

else:

    class Poller:
        """The sockets one loop waits for, by descriptor."""

        def __init__(self) -> None:
            """Start with none."""
            self._queue = select.kqueue()

        def register(self, descriptor: int) -> None:
            """Report when there is something to read."""
            self._control(descriptor, select.KQ_FILTER_READ, select.KQ_EV_ADD)

        def want_writable(self, descriptor: int, wanted: bool) -> None:
            """Report, or no longer, when there is room to write."""
            self._control(descriptor, select.KQ_FILTER_WRITE, select.KQ_EV_ADD if wanted else select.KQ_EV_DELETE)

        def _control(self, descriptor: int, kind: int, flags: int) -> None:
            self._queue.control([select.kevent(descriptor, kind, flags)], 0, 0)

        def poll(self, timeout_s: float) -> Sequence[tuple[int, int]]:
            """Wait at most so long; return (descriptor, anything) of the sockets that are ready."""
            events = self._queue.control(None, _EVENTS_LIMIT, max(0.0, timeout_s))
            return [(event.ident, event.filter) for event in events]

        def poll_precisely(self, timeout_s: float) -> Sequence[tuple[int, int]]:
            """The same: kqueue keeps nanoseconds."""
            return self.poll(timeout_s)

        def close(self) -> None:
            """Release the descriptor."""
            self._queue.close()
