"""The options of `dynacache demo`.

What: one attrs class, flattened into options by the command line.

Invariant: options that exist are valid; a wrong one ends in an InvalidOption that names it.

Why its own module: ``--help`` needs the options without what the demo imports.
"""

from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Parameter

from dynacache.errors import InvalidOption

__all__ = ["DemoOptions"]

_NODES_MINIMUM = 3
_NODES_LIMIT = 64
_SECONDS_MINIMUM = 1.0


@Parameter(name="*")
@attrs.frozen
class DemoOptions:
    """What to show."""

    nodes: int = 5
    """Node processes to start."""
    seconds: float = 30.0
    """Length of the workload; the kill comes at a third, the restart at two thirds."""
    scale: Annotated[bool, Parameter(negative=())] = False
    """Let one more node join at a third and leave at two thirds, instead of the kill; takes as long as they take."""
    trace: Path | None = None
    """Replay this trace (one key a line, .xz or plain) with read-through instead of drawn keys."""
    rate: float | None = None
    """Requests a second of all workers together, 0 for as many as they can; the write after a miss of a trace is not
    counted. Left out: 1,500, or with a trace what replays it once, at most 2,000."""
    workers: int = 8
    """Threads that send requests, each one request at a time."""
    keys: int = 10_000
    """Keys to draw from."""
    zipf: float = 0.99
    """Exponent of Zipf's law for the keys; 0 draws them evenly."""
    read_share: float = 0.8
    """Share of reads."""
    value_bytes: int = 1024
    """Size of each value."""
    memory: str = "256MiB"
    """Memory limit of each node."""
    seed: int = 1
    """Seed of keys and order."""
    keep: Annotated[bool, Parameter(negative=())] = False
    """Leave the cluster running and say how to use it."""
    json: Path | None = None
    """Write the figures to this file."""

    def __attrs_post_init__(self) -> None:
        """Check ranges."""
        for name, lowest, highest in (
            ("nodes", _NODES_MINIMUM, _NODES_LIMIT),
            ("seconds", _SECONDS_MINIMUM, 86_400.0),
            ("rate", 0.0, 1e6),
            ("workers", 1, 256),
            ("keys", 1, 10_000_000),
            ("zipf", 0.0, 10.0),
            ("read_share", 0.0, 1.0),
            ("value_bytes", 0, 1024 * 1024),
        ):
            value = getattr(self, name)
            if value is not None and not lowest <= value <= highest:
                raise InvalidOption(f"--{name.replace('_', '-')}: got {value}, expected {lowest} to {highest}")
