"""The clients that applications import: `connect` for Trio and asyncio, `Client` for threads."""

from dynacache.runtime.clients.asynchronous import AsyncClient, connect

__all__ = ["AsyncClient", "connect"]
