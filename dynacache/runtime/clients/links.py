"""The asynchronous client's connections: a small pool for each node, deadlines, keep-alive, one flush a turn.

What: `Links` owns the router and every `Link`. `link_to` gives the least loaded connection to an endpoint and opens one
where there is none; `flush_soon` sends what all tasks of a turn have queued in one go; `watch` is the one timer.

Invariant: an endpoint has at most `connections_per_node` links, and a link that ended is forgotten at once. A call's
deadline is acted on within `TICK_S`. A link that stays silent when it is asked for a sign of life is closed.

Why: the first task that queues something in a turn lets the others run once and then sends for all of them, so fifty
tasks that were woken together cost one system call and no extra task. One timer serves all deadlines.
"""

import math
import os
import time
from typing import Any

import anyio
import anyio.abc
import attrs
from anyio.lowlevel import checkpoint

from dynacache.client.calls import Call
from dynacache.client.protocol import ClientProtocol
from dynacache.client.requests import Requests
from dynacache.client.routing import Endpoint, Router
from dynacache.errors import Overloaded
from dynacache.runtime.clients.link import Link
from dynacache.runtime.clients.waiting import EventWaiter, TrioWaiter, waiter_type
from dynacache.types import Role
from dynacache.wire.handshake import NONCE_BYTES, Initiator

__all__ = ["KEEP_ALIVE_S", "TICK_S", "Links"]

TICK_S = 0.02
"""Deadlines are acted on at most this late."""
KEEP_ALIVE_S = 60.0
"""A link silent for this long is asked for a sign of life; nodes close connections that are silent for longer."""


@attrs.define(eq=False)
class Links:
    """All connections of one asynchronous client."""

    router: Router
    requests: Requests
    tasks: anyio.abc.TaskGroup
    secret: str | None = attrs.field(repr=False)
    connect_timeout_s: float
    connections_per_node: int
    waiter: type[TrioWaiter] | type[EventWaiter] = attrs.field(factory=waiter_type, init=False)
    progressed: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    """Set, and replaced, whenever a link opened, ended or brought a topology."""
    _links: dict[Endpoint, list[Link]] = attrs.field(factory=dict, init=False)
    _dirty: list[Link] = attrs.field(factory=list, init=False)
    _turn_open: bool = attrs.field(default=False, init=False)
    _wakes_s: float = attrs.field(default=math.inf, init=False)
    _wake: anyio.Event = attrs.field(factory=anyio.Event, init=False)

    def link_to(self, endpoint: Endpoint) -> Link:
        """The link to use for one more call."""
        links = self._links.get(endpoint)
        if not links:
            return self._open(endpoint)
        if self.connections_per_node == 1:
            return links[0]
        best = min(links, key=_load)
        if _load(best) and len(links) < self.connections_per_node:
            return self._open(endpoint)
        return best

    def submit(self, call: Call[Any], endpoint: Endpoint, now_s: float, deadline_s: float) -> None:
        """Queue a call on a link to the endpoint; a full queue ends it at once."""
        call.endpoint = endpoint
        self._queue(call, self.link_to(endpoint), now_s, deadline_s)

    def _queue(self, call: Call[Any], link: Link, now_s: float, deadline_s: float) -> None:
        try:
            link.protocol.submit(call.message, call.timeout_position, now_s, deadline_s, call)
        except Overloaded as error:
            call.error = error
            call.waiter.done_one()
            return
        if not link.dirty:
            link.dirty = True
            self._dirty.append(link)
        if deadline_s < self._wakes_s:
            self._wake.set()

    async def flush_soon(self) -> None:
        """Let the other tasks of this turn queue theirs, then send it all; the first task does it for the others."""
        if self._turn_open:
            return
        self._turn_open = True
        try:
            await checkpoint()
        finally:
            self._turn_open = False
            self.flush()

    def flush(self) -> None:
        """Send what was queued, now."""
        dirty, self._dirty = self._dirty, []
        for link in dirty:
            link.flush()

    async def watch(self) -> None:
        """Act on deadlines and keep silent links alive, for as long as the client lives."""
        while True:
            now_s = time.monotonic()
            next_s = now_s + KEEP_ALIVE_S
            for links in self._links.values():
                for link in links:
                    link.expire(now_s)
                    self._keep_alive(link, now_s)
                    next_s = min(next_s, link.protocol.next_deadline())
            self.flush()
            self._wakes_s = max(next_s, now_s + TICK_S)
            with anyio.move_on_after(self._wakes_s - now_s):
                await self._wake.wait()
            if self._wake.is_set():
                self._wake = anyio.Event()
                self._wakes_s = -math.inf
                await anyio.sleep(TICK_S)

    def close(self) -> None:
        """End every link."""
        for links in list(self._links.values()):
            for link in list(links):
                link.close()

    def _open(self, endpoint: Endpoint) -> Link:
        initiator = Initiator(Role.CLIENT, self.router.cluster_id, "", self.secret, os.urandom(NONCE_BYTES))
        link = Link(endpoint, ClientProtocol(initiator), self._on_progress, self.connect_timeout_s)
        self._links.setdefault(endpoint, []).append(link)
        self.tasks.start_soon(link.run)
        return link

    def _on_progress(self, link: Link) -> None:
        """A link opened, ended, or brought a topology."""
        if link.closed:
            links = self._links[link.endpoint]
            links.remove(link)
            if not links:
                del self._links[link.endpoint]
        else:
            node_id = link.protocol.initiator.peer_node_id
            if link.endpoint.node_id != node_id:
                self.router.learn_node(link.endpoint, node_id)
            topology, link.protocol.topology = link.protocol.topology, None
            if topology is not None:
                told = link.protocol.compressions, link.protocol.factors
                self.router.update(*topology, time.monotonic(), *told)
                self._drop_unknown()
        self.progressed.set()
        self.progressed = anyio.Event()

    def _drop_unknown(self) -> None:
        """Close idle links to addresses that belong to no member any more."""
        known = set(self.router.endpoints.values())
        for endpoint, links in list(self._links.items()):
            if endpoint not in known:
                for link in links:
                    if not link.protocol.in_flight:
                        link.close()

    def _keep_alive(self, link: Link, now_s: float) -> None:
        """Ask an idle link for a sign of life; give up one that is silent although it was asked."""
        if not link.protocol.ready or now_s - link.heard_s <= KEEP_ALIVE_S:
            return
        if link.ping is not None and link.ping.error is not None:
            link.close()
        elif not link.protocol.in_flight:
            link.ping = self.requests.ping()
            link.ping.waiter = self.waiter(1)
            self._queue(link.ping, link, now_s, now_s + self.connect_timeout_s)


def _load(link: Link) -> int:
    return link.protocol.in_flight
