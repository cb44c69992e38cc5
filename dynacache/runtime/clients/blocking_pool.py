"""The synchronous client's connections: a pool for each node, shared by threads.

What: `acquire` gives a thread a connection of its own, an idle one or a new one; `release` takes it back. The router is
guarded by the same lock.

Invariant: at most `connections_per_node` connections to an endpoint are open; a thread that finds them all in use waits
until its deadline, then is Overloaded, with nothing sent. A thread that needs several endpoints takes them in the order
of their addresses, so no two threads wait for each other. A connection is never shared by two threads, nor by two
processes: after a fork the child starts with an empty pool and an identity of its own.

Why: a connection of its own costs a thread no hand-over to another one and no wake-up, which under the interpreter's
lock is most of a request's latency. Connections idle for long are not trusted, because nodes close those that are
silent; and each is looked at before it is used, so that a write is not sent to a node that is known to be gone and its
fate made a riddle.
"""

import threading
import time
from collections import deque
from typing import Final

import attrs

from dynacache.client.routing import FAILURES_BEFORE_AVOIDING, Endpoint, Router
from dynacache.errors import DynacacheError, Overloaded, UnavailableError
from dynacache.runtime.clients.blocking_link import BlockingLink

__all__ = ["IDLE_LIMIT_S", "BlockingPool"]

IDLE_LIMIT_S: Final = 60.0
"""A connection idle for longer is replaced."""


@attrs.define(eq=False)
class BlockingPool:
    """Connections by endpoint, for one process."""

    router: Router
    secret: str | None = attrs.field(repr=False)
    connect_timeout_s: float
    connections_per_node: int
    lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    """Guards the router and the pool."""
    _returned: threading.Condition = attrs.field(init=False)
    _idle: dict[Endpoint, deque[BlockingLink]] = attrs.field(factory=dict, init=False)
    _open: dict[Endpoint, int] = attrs.field(factory=dict, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Tie the condition to the lock."""
        self._returned = threading.Condition(self.lock)

    def acquire(self, endpoint: Endpoint, deadline_s: float) -> BlockingLink:
        """Return a connection that only this thread uses, by the deadline (monotonic seconds).

        Raises UnavailableError, Overloaded, or what the node refused the hello with; nothing was sent then.
        """
        link = self._take_idle(endpoint, deadline_s)
        if link is not None:
            return link
        now_s = time.monotonic()
        until_s = min(deadline_s, now_s + self.connect_timeout_s)
        try:
            link = BlockingLink.open(endpoint, self.router.cluster_id, self.secret, until_s, self._on_progress)
        except BaseException:
            self._forget(endpoint)
            with self.lock:
                endpoint.failed(time.monotonic(), FAILURES_BEFORE_AVOIDING)
            raise
        with self.lock:
            endpoint.connections += 1
        return link

    def release(self, link: BlockingLink) -> None:
        """Take a connection back; one that is not fit for another use is closed."""
        if link.reusable and not self._closed:
            link.used_s = time.monotonic()
            with self.lock:
                self._idle.setdefault(link.endpoint, deque()).append(link)
                self._returned.notify()
        else:
            self._discard(link, UnavailableError(f"the connection to {link.endpoint} was given up"))

    def nodes(self) -> tuple[Endpoint, ...]:
        """Every member of the cluster."""
        with self.lock:
            return self.router.nodes

    def owners_of(self, partition: int) -> list[tuple[Endpoint, bool]]:
        """The owners of a partition, each with whether it seems well."""
        now_s = time.monotonic()
        with self.lock:
            return [(endpoint, endpoint.usable(now_s)) for endpoint in self.router.owners_of(partition)]

    def close(self) -> None:
        """Close idle connections now, and those in use when they are released."""
        self._closed = True
        with self.lock:
            links = [link for idle in self._idle.values() for link in idle]
            self._idle.clear()
            self._returned.notify_all()
        for link in links:
            self._discard(link, UnavailableError("the client was closed"))

    def _take_idle(self, endpoint: Endpoint, deadline_s: float) -> BlockingLink | None:
        """An idle connection; None when the caller may open one (it is counted already)."""
        while True:
            with self.lock:
                if self._closed:
                    raise UnavailableError("the client is closed")
                idle = self._idle.get(endpoint)
                if idle:
                    link = idle.pop()
                elif self._open.get(endpoint, 0) < self.connections_per_node:
                    self._open[endpoint] = self._open.get(endpoint, 0) + 1
                    return None
                else:
                    left_s = deadline_s - time.monotonic()
                    if left_s <= 0 or not self._returned.wait(left_s):
                        raise Overloaded(f"all {self.connections_per_node} connections to {endpoint} are in use")
                    continue
            if self._still_good(link):
                return link

    def _still_good(self, link: BlockingLink) -> bool:
        """Look at an idle connection before it is used: a node that was stopped has closed it."""
        if time.monotonic() - link.used_s > IDLE_LIMIT_S:
            self._discard(link, UnavailableError("idle for too long"))
            return False
        while link.wait(0):
            link.take()
            if link.failure is not None:
                self._discard(link, link.failure)
                return False
        return True

    def _discard(self, link: BlockingLink, failure: DynacacheError) -> None:
        link.end(failure)
        with self.lock:
            link.endpoint.connections -= 1
        self._forget(link.endpoint)

    def _forget(self, endpoint: Endpoint) -> None:
        """One connection less to an endpoint."""
        with self.lock:
            self._open[endpoint] -= 1
            if not self._open[endpoint]:
                del self._open[endpoint]
            self._returned.notify()

    def _on_progress(self, link: BlockingLink) -> None:
        """The hello is done, or a topology came."""
        topology, link.protocol.topology = link.protocol.topology, None
        node_id = link.protocol.initiator.peer_node_id
        with self.lock:
            if link.endpoint.node_id != node_id:
                self.router.learn_node(link.endpoint, node_id)
            if topology is not None:
                told = link.protocol.compressions, link.protocol.factors
                self.router.update(*topology, time.monotonic(), *told)
