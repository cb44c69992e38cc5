"""dynacache: a distributed in-memory cache in the manner of Dynamo.

What: `connect` opens a client for Trio and asyncio, `Client` one for threads; their results, options and errors are
here too.

Why names are resolved on first use: the command line, the node and the simulator import parts of this package, and must
not pay for a client that they do not open.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dynacache.client.results import Fetched, Receipt, Sibling, Written
    from dynacache.client.retries import RetryPolicy
    from dynacache.client.scanning import ScanPage
    from dynacache.client.watching import EventsLost, KeyEvent
    from dynacache.errors import (
        AuthenticationFailed,
        ClockUnsafe,
        ClusterMismatch,
        ConnectionLost,
        DynacacheError,
        InvalidContext,
        InvalidRequest,
        LevelNotAvailable,
        NotEnoughReplicas,
        NotReady,
        OutOfMemory,
        Overloaded,
        ProtocolError,
        RequestError,
        TimedOut,
        TooManySiblings,
        UnavailableError,
        UncertainError,
        VersionMismatch,
        WrongType,
    )
    from dynacache.runtime.clients.async_subscription import AsyncSubscription
    from dynacache.runtime.clients.asynchronous import AsyncClient, AsyncNamespace, connect
    from dynacache.runtime.clients.blocking_subscription import Subscription
    from dynacache.runtime.clients.pipelines import AsyncPipeline, Pipeline
    from dynacache.runtime.clients.synchronous import Client, Namespace
    from dynacache.types import KeyChange, Level, MissReason

__all__ = [
    "AsyncClient",
    "AsyncNamespace",
    "AsyncPipeline",
    "AsyncSubscription",
    "AuthenticationFailed",
    "Client",
    "ClockUnsafe",
    "ClusterMismatch",
    "ConnectionLost",
    "DynacacheError",
    "EventsLost",
    "Fetched",
    "InvalidContext",
    "InvalidRequest",
    "KeyChange",
    "KeyEvent",
    "Level",
    "LevelNotAvailable",
    "MissReason",
    "Namespace",
    "NotEnoughReplicas",
    "NotReady",
    "OutOfMemory",
    "Overloaded",
    "Pipeline",
    "ProtocolError",
    "Receipt",
    "RequestError",
    "RetryPolicy",
    "ScanPage",
    "Sibling",
    "Subscription",
    "TimedOut",
    "TooManySiblings",
    "UnavailableError",
    "UncertainError",
    "VersionMismatch",
    "Written",
    "WrongType",
    "connect",
]

_HOMES = {
    "AsyncClient": "dynacache.runtime.clients.asynchronous",
    "AsyncNamespace": "dynacache.runtime.clients.asynchronous",
    "AsyncPipeline": "dynacache.runtime.clients.pipelines",
    "AsyncSubscription": "dynacache.runtime.clients.async_subscription",
    "Client": "dynacache.runtime.clients.synchronous",
    "EventsLost": "dynacache.client.watching",
    "Fetched": "dynacache.client.results",
    "KeyChange": "dynacache.types",
    "KeyEvent": "dynacache.client.watching",
    "Level": "dynacache.types",
    "MissReason": "dynacache.types",
    "Namespace": "dynacache.runtime.clients.synchronous",
    "Pipeline": "dynacache.runtime.clients.pipelines",
    "Receipt": "dynacache.client.results",
    "RetryPolicy": "dynacache.client.retries",
    "ScanPage": "dynacache.client.scanning",
    "Sibling": "dynacache.client.results",
    "Subscription": "dynacache.runtime.clients.blocking_subscription",
    "Written": "dynacache.client.results",
    "connect": "dynacache.runtime.clients.asynchronous",
}
"""The module of each public name; errors live in `dynacache.errors`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES.get(name, "dynacache.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
