"""Host names of members as addresses, looked up beside the loop.

What: `address_of` answers at once: an address as it is, a known name with its address, an unknown one with None, and
then remembers that somebody asked. `refresh`, called every second or so, looks up what was asked for, and again what is
older than `REFRESH_INTERVAL_S`, as the address behind a name changes when a container starts again.

Invariant: at most `NAME_LIMIT` names are known or asked for; further ones stay unknown. A name that cannot be looked up
keeps the address it had.

Why: to send a datagram to a name makes the kernel's caller, the whole loop, wait for the name service. Gossip tolerates
the loss of its first packets; requests do not tolerate a loop that stands still. (TCP links are dialled by Trio, which
looks names up in a thread.)
"""

import ipaddress
import socket
from typing import Final

import attrs
import trio

from dynacache.runtime.entropy import monotonic_now

__all__ = ["LOOK_UP_TIMEOUT_S", "NAME_LIMIT", "REFRESH_INTERVAL_S", "Names"]

NAME_LIMIT: Final = 4096
REFRESH_INTERVAL_S: Final = 30.0
LOOK_UP_TIMEOUT_S: Final = 5.0


@attrs.define(eq=False)
class Names:
    """The addresses behind names, for one family of addresses."""

    family: socket.AddressFamily
    _addresses: dict[str, str] = attrs.field(factory=dict, init=False)
    _due_s: dict[str, float] = attrs.field(factory=dict, init=False)

    def address_of(self, host: str) -> str | None:
        """The address of a host, or None while it is not known."""
        address = self._addresses.get(host)
        if address is None and host not in self._due_s and len(self._addresses) + len(self._due_s) < NAME_LIMIT:
            if _is_address(host):
                self._addresses[host] = address = host
            else:
                self._due_s[host] = 0.0
        return address

    async def refresh(self) -> None:
        """Look up what is due, one name after the other."""
        now_s = monotonic_now()
        for host in [host for host, due_s in self._due_s.items() if due_s <= now_s]:
            self._due_s[host] = now_s + REFRESH_INTERVAL_S
            with trio.move_on_after(LOOK_UP_TIMEOUT_S):
                address = await self._look_up(host)
                if address is not None:
                    self._addresses[host] = address
                else:
                    self._due_s[host] = now_s + LOOK_UP_TIMEOUT_S

    async def _look_up(self, host: str) -> str | None:
        try:
            found = await trio.socket.getaddrinfo(host, None, family=self.family, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError):
            return None
        return str(found[0][4][0])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
