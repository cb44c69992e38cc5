"""The one tree of errors.

::

    DynacacheError
    ├── RequestError            the caller's fault, nothing was changed
    │   ├── InvalidRequest      a malformed or out-of-range argument
    │   ├── InvalidContext      a version that is not one of ours or belongs to another key
    │   ├── WrongType           the operation does not fit the value that is stored
    │   ├── TooManySiblings     the write would exceed the cap of concurrent versions
    │   └── LevelNotAvailable   the level does not exist in this namespace's mode
    ├── UnavailableError        the cluster's state, nothing was changed, safe to retry
    │   ├── NotEnoughReplicas   the level cannot be reached now
    │   ├── Overloaded          a queue is at its limit
    │   ├── OutOfMemory         no room and nothing to evict
    │   ├── ClockUnsafe         the node distrusts its own clock
    │   └── NotReady            the node does not know the cluster yet, or is stopping
    ├── UncertainError          the outcome is not known: a write may have been applied
    │   ├── TimedOut            the deadline passed before enough replicas answered
    │   └── ConnectionLost      the connection ended before the answer came
    ├── ProtocolError           the other end broke the wire protocol
    │   ├── FrameTooLarge       a frame announced more bytes than the limit
    │   ├── VersionMismatch     no common protocol version
    │   ├── AuthenticationFailed  wrong or missing cluster secret
    │   └── ClusterMismatch     the other end belongs to another cluster
    └── StartupError            the operator's fault, told before anything was served
        ├── InvalidOption       an option or configuration value
        ├── AddressInUse        another process has the address
        ├── NoSeedNorFounders   nothing says which cluster to join or found
        └── SeedsUnreachable    no seed answered within the deadline

Invariant: every leaf has one wire ``code`` that is never reused, says whose ``fault`` it is, whether the effect is
``definite`` (True: nothing was changed; False: maybe applied), and the ``exit_code`` a command ends with. "Maybe
applied" is therefore never reported as "failed".

Why: a client decides about a retry from ``definite`` alone; a shell script from the exit code alone.
"""

from typing import ClassVar

__all__ = [
    "AddressInUse",
    "AuthenticationFailed",
    "ClockUnsafe",
    "ClusterMismatch",
    "ConnectionLost",
    "DynacacheError",
    "FrameTooLarge",
    "InvalidContext",
    "InvalidOption",
    "InvalidRequest",
    "LevelNotAvailable",
    "NoSeedNorFounders",
    "NotEnoughReplicas",
    "NotReady",
    "OutOfMemory",
    "Overloaded",
    "ProtocolError",
    "RequestError",
    "SeedsUnreachable",
    "StartupError",
    "TimedOut",
    "TooManySiblings",
    "UnavailableError",
    "UncertainError",
    "VersionMismatch",
    "WrongType",
    "error_from_code",
]


class DynacacheError(Exception):
    """Root of every error this package raises on purpose."""

    code: ClassVar[int] = 0
    fault: ClassVar[str] = "unknown"
    definite: ClassVar[bool] = True
    exit_code: ClassVar[int] = 1


class RequestError(DynacacheError):
    """The request itself is wrong; nothing was changed and a retry will not help."""

    code = 10
    fault = "caller"
    exit_code = 2


class InvalidRequest(RequestError):
    """An argument is malformed or out of range."""

    code = 11


class InvalidContext(RequestError):
    """A version token is not one of ours, or belongs to another key."""

    code = 12


class WrongType(RequestError):
    """The operation does not fit the type of the stored value."""

    code = 13


class TooManySiblings(RequestError):
    """The write would leave more concurrent versions than the cap allows."""

    code = 14


class LevelNotAvailable(RequestError):
    """The consistency level does not exist in this namespace's mode."""

    code = 15


class UnavailableError(DynacacheError):
    """The cluster cannot do it now; nothing was changed and a retry is safe."""

    code = 30
    fault = "cluster"
    exit_code = 4


class NotEnoughReplicas(UnavailableError):
    """Fewer replicas can be reached than the level asks for."""

    code = 31


class Overloaded(UnavailableError):
    """A queue or table is at its limit."""

    code = 32


class OutOfMemory(UnavailableError):
    """There is no room for the write and nothing may be evicted for it."""

    code = 33


class ClockUnsafe(UnavailableError):
    """The node's clock differs too much from its peers'."""

    code = 34


class NotReady(UnavailableError):
    """The node does not know the cluster yet, or is stopping."""

    code = 35


class UncertainError(DynacacheError):
    """The outcome is unknown: a write may or may not have been applied."""

    code = 50
    fault = "network"
    definite = False
    exit_code = 5


class TimedOut(UncertainError):
    """The deadline passed before enough replicas answered."""

    code = 51


class ConnectionLost(UncertainError):
    """The connection ended before the answer came."""

    code = 52


class ProtocolError(DynacacheError):
    """The other end broke the wire protocol."""

    code = 70
    fault = "peer"
    exit_code = 6


class FrameTooLarge(ProtocolError):
    """A frame announced more bytes than the limit."""

    code = 71


class VersionMismatch(ProtocolError):
    """The two ends have no protocol version in common."""

    code = 72
    exit_code = 15


class AuthenticationFailed(ProtocolError):
    """The cluster secret is wrong or missing."""

    code = 73
    exit_code = 14


class ClusterMismatch(ProtocolError):
    """The other end belongs to another cluster."""

    code = 74
    exit_code = 13


class StartupError(DynacacheError):
    """The node cannot start as configured."""

    code = 90
    fault = "operator"
    exit_code = 9


class InvalidOption(StartupError):
    """An option or a configuration value is not acceptable."""

    code = 91
    exit_code = 2


class AddressInUse(StartupError):
    """The address to listen on is taken or not ours."""

    code = 92
    exit_code = 10


class SeedsUnreachable(StartupError):
    """No seed answered within the deadline."""

    code = 93
    exit_code = 11


class NoSeedNorFounders(StartupError):
    """Nothing says which cluster to join or found."""

    code = 94
    exit_code = 12


def _leaves(root: type[DynacacheError]) -> dict[int, type[DynacacheError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _leaves(child)
    return found


_BY_CODE = _leaves(DynacacheError)


def error_from_code(code: int, text: str) -> DynacacheError:
    """Return the error a wire ``code`` stands for; an unknown code becomes an ``UncertainError``, the safe reading."""
    return _BY_CODE.get(code, UncertainError)(text)
