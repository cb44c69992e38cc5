"""The clients that applications import: `connect` for Trio and asyncio, `Client` for threads."""

from dynacache.runtime.clients.asynchronous import AsyncClient, connect
from dynacache.runtime.clients.synchronous import Client

__all__ = ["AsyncClient", "Client", "connect"]
