"""What a caller is told when no node could be reached.

What: `no_node_reached` makes one error of the failures of all addresses.

Invariant: a refusal (wrong secret, another cluster, no common version) is told before a silence, because it says what
to change; several silences become one sentence that names each address.

Why: both clients try the given addresses in order and must end with the same words and the same exit code.
"""

from collections.abc import Sequence

from dynacache.errors import DynacacheError, ProtocolError, UnavailableError

__all__ = ["no_node_reached"]


def no_node_reached(failures: Sequence[DynacacheError]) -> DynacacheError:
    """The error to raise after every address failed."""
    for failure in failures:
        if isinstance(failure, ProtocolError):
            return failure
    return UnavailableError("no node can be reached: " + "; ".join(map(str, failures)))
