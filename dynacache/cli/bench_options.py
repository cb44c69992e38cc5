"""The options of `dynacache bench`.

What: one attrs class, flattened into options by the command line.

Invariant: options that exist are valid; a wrong one ends in an InvalidOption that names it.

Why its own module: ``--help`` needs the options without what the bench imports.
"""

from pathlib import Path
from typing import Annotated, Literal

import attrs
from cyclopts import Parameter

from dynacache.errors import InvalidOption

__all__ = ["BenchOptions"]

_Level = Literal["one", "quorum", "strict_quorum", "all"]
_ROUNDS_WITH_REDIS = 7


@Parameter(name="*")
@attrs.frozen
class BenchOptions:
    """What to measure."""

    server: Annotated[tuple[str, ...], Parameter(name=["--server", "-s"], negative=(), show_default=False)] = ()
    """host:port of the nodes of a running cluster, each named; left out, a cluster is started for the bench."""
    secret_file: Annotated[Path | None, Parameter(env_var="DYNACACHE_SECRET_FILE")] = None
    """File whose first line is the running cluster's secret."""
    nodes: int = 3
    """Nodes of a cluster started for the bench; --scale and the restarts have their own."""
    memory: Annotated[bool, Parameter(negative=())] = False
    """Fill one engine with --entries entries and measure memory and pauses instead of sending requests."""
    scale: Annotated[bool, Parameter(negative=())] = False
    """Grow a cluster of three nodes to five and shrink it to three again under load: what fails, what is lost, how much
    moves, what it costs in latency."""
    restart_empty: Annotated[bool, Parameter(negative=())] = False
    """Kill one of five nodes under load and start it again empty: what fails, how long until it is filled, how many
    bytes that takes."""
    rolling: Annotated[bool, Parameter(negative=())] = False
    """Stop and start each of five nodes in turn under load, waiting each time until it is ready and complete."""
    exchange: Annotated[bool, Parameter(negative=())] = False
    """Let two replicas of --entries entries compare what they hold, with 0, 1 and 1,000 differences: the bytes and the
    processor time of it."""
    rest: Annotated[bool, Parameter(negative=())] = False
    """Repair at rest: the processor time of idle nodes, the traffic between full ones that evict, and what 100,000
    entries that expire at once cause."""
    soak_memory: Annotated[bool, Parameter(negative=())] = False
    """Fill one node with values of mixed sizes to four times its --limit, then delete and rewrite for --seconds (600):
    what the operating system sees of it, pauses, throughput against that below the limit."""
    expiry: Annotated[bool, Parameter(negative=())] = False
    """Let --entries entries expire within ten seconds on a node under load: how late they are freed, pauses, p99."""
    limit: str = "512MiB"
    """Memory of the node of --soak-memory."""
    invalidate: Annotated[bool, Parameter(negative=())] = False
    """Invalidate a tag with no entry and with --entries tagged entries: the time of the answer, and of the sweep that
    follows, with its longest slice."""
    hit_ratio: Annotated[tuple[Path, ...], Parameter(negative=(), show_default=False)] = ()
    """Play this trace through caches of 1, 5, 10 and 25 % of its keys under every eviction policy, beside exact LRU,
    the optimum and what is installed of the extra ``bench``; repeat it for several."""
    entries: int = 1_000_000
    """Entries for --memory, --exchange, --expiry and --invalidate."""
    against: Literal["redis"] | None = None
    """Measure Redis too: one master, two replicas, SET followed by WAIT 1; rounds alternate."""
    connections: int = 50
    """Connections, spread over the nodes."""
    depth: Annotated[tuple[int, ...], Parameter(negative=(), show_default=False)] = ()
    """Requests sent together on a connection; repeat it for several. Left out: 1 and 16."""
    value_bytes: int | None = None
    """Size of values; left out, 512, or 64 with --memory."""
    read_share: float | None = None
    """Share of reads; left out, writes and reads are measured apart (with --rate: 0.8)."""
    read_level: _Level = "quorum"
    """Level of reads."""
    write_level: _Level = "quorum"
    """Level of writes."""
    keys: int | None = None
    """Keys to draw from; all of them are written before anything is measured. Left out, 10,000, or 50,000 where data
    move."""
    zipf: float = 0.0
    """Exponent of Zipf's law for the keys; 0 uses them evenly."""
    trace: Path | None = None
    """Take the keys from this trace (one key a line, .xz or plain)."""
    rate: Annotated[tuple[float, ...], Parameter(negative=(), show_default=False)] = ()
    """Send so many requests a second on schedule (open loop); repeat it for several. Where data move, 300 if left
    out."""
    seconds: float | None = None
    """Length of each round; left out, 1.5. Where data move, the time before the first change, 10 if left out."""
    requests: int = 0
    """End a round after so many requests instead; 0 goes by time."""
    rounds: int | None = None
    """Rounds; left out, 7 with --against and 3 without."""
    seed: int = 1
    """Seed of keys and order."""

    @property
    def moves_data(self) -> bool:
        """Whether a cluster is changed under load."""
        return self.scale or self.restart_empty or self.rolling

    @property
    def keys_wanted(self) -> int:
        """Keys to draw from."""
        return self.keys or (50_000 if self.moves_data else 10_000)

    @property
    def seconds_wanted(self) -> float:
        """Length of a round, or of the load before the first change."""
        return self.seconds or (10.0 if self.moves_data else 1.5)

    @property
    def rounds_wanted(self) -> int:
        """Rounds to run."""
        return self.rounds or (_ROUNDS_WITH_REDIS if self.against else 3)

    def __attrs_post_init__(self) -> None:
        """Check ranges."""
        for name, lowest, highest in (
            ("nodes", 1, 64),
            ("entries", 1000, 100_000_000),
            ("connections", 1, 10_000),
            ("value_bytes", 0, 1024 * 1024),
            ("read_share", 0.0, 1.0),
            ("keys", 100, 1_000_000),
            ("zipf", 0.0, 10.0),
            ("seconds", 0.1, 3600.0),
            ("requests", 0, 10**9),
            ("rounds", 1, 1000),
            ("depth", 1, 127),
            ("rate", 1.0, 1e6),
        ):
            given = getattr(self, name)
            for value in given if isinstance(given, tuple) else (given,):
                if value is not None and not lowest <= value <= highest:
                    raise InvalidOption(f"--{name.replace('_', '-')}: got {value}, expected {lowest} to {highest}")
