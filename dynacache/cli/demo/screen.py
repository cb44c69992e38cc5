"""What the demo shows while it runs: a live table on a terminal, one line a second elsewhere.

What: a `Snapshot` holds everything that is shown; `Screen` draws it. `figures_table` and `line_of` are pure.

Invariant: a terminal is left as it was found, whatever ends the demo; output that is piped into a file has no control
characters and stays readable.

Why rich's `Live` without its own refresh thread: the demo takes a snapshot at its own pace, so a second clock would
only draw the same thing again.
"""

import sys
from types import TracebackType
from typing import TextIO

import attrs
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

__all__ = ["NodeRow", "Screen", "Snapshot", "figures_table", "line_of", "nodes_table"]

_LINE_INTERVAL_S = 1.0
_STYLES = {"alive": "green", "suspect": "yellow", "dead": "red", "killed": "bold red"}


@attrs.frozen
class NodeRow:
    """One node, as its process and the others see it."""

    name: str
    liveness: str
    entries: int
    memory_bytes: int
    hints: int
    warming: int


@attrs.frozen
class Snapshot:
    """The state of the demo at one moment; rates and percentiles are those since the snapshot before."""

    elapsed_s: float
    seconds: float
    phase: str
    requests: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    hit_ratio: float
    failed: int
    unknown: int
    nodes: tuple[NodeRow, ...]

    @property
    def hints(self) -> int:
        """Hints that all nodes hold."""
        return sum(node.hints for node in self.nodes)

    @property
    def alive(self) -> int:
        """Members that count as alive."""
        return sum(node.liveness == "alive" for node in self.nodes)


def line_of(snapshot: Snapshot) -> str:
    """One line for a log."""
    return (
        f"{snapshot.elapsed_s:5.1f} s  {snapshot.phase:<22} members {snapshot.alive}/{len(snapshot.nodes)}"
        f"  {snapshot.requests_per_s:7,.0f} requests/s  p50 {snapshot.p50_ms:6.2f} ms  p99 {snapshot.p99_ms:7.2f} ms"
        f"  hits {snapshot.hit_ratio:6.1%}  hints {snapshot.hints:,}"
        f"  failed {snapshot.failed}  unknown {snapshot.unknown}"
    )


def nodes_table(snapshot: Snapshot) -> Table:
    """The members."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("node")
    table.add_column("state")
    for column in ("entries", "memory", "hints", "warming"):
        table.add_column(column, justify="right")
    for node in snapshot.nodes:
        state = Text(node.liveness, style=_STYLES.get(node.liveness, ""))
        figures = (f"{node.entries:,}", f"{node.memory_bytes / 2**20:.1f} MiB", f"{node.hints:,}", f"{node.warming:,}")
        table.add_row(node.name, state, *figures)
    return table


def figures_table(snapshot: Snapshot) -> Table:
    """What the clients see."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("requests", "requests/s", "p50", "p99", "hit ratio", "failed", "unknown"):
        table.add_column(column, justify="right")
    table.add_row(
        f"{snapshot.requests:,}",
        f"{snapshot.requests_per_s:,.0f}",
        f"{snapshot.p50_ms:.2f} ms",
        f"{snapshot.p99_ms:.2f} ms",
        f"{snapshot.hit_ratio:.1%}",
        Text(str(snapshot.failed), style="bold red" if snapshot.failed else "green"),
        str(snapshot.unknown),
    )
    return table


class Screen:
    """Draws snapshots and says sentences, as fits the stream."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Use a stream; left out, standard output."""
        self._stream = stream or sys.stdout
        self._live: Live | None = None
        if self._stream.isatty():
            self._live = Live(console=Console(file=self._stream), auto_refresh=False)
        self._next_line_s = 0.0

    def say(self, text: str) -> None:
        """Print a sentence, above the table where there is one."""
        if self._live is not None and self._live.is_started:
            self._live.console.print(Text(text))
        else:
            print(text, file=self._stream, flush=True)

    def update(self, snapshot: Snapshot) -> None:
        """Show a snapshot."""
        if self._live is not None:
            head = Text(f"{snapshot.elapsed_s:.0f} of {snapshot.seconds:.0f} s: {snapshot.phase}")
            self._live.update(Group(head, figures_table(snapshot), nodes_table(snapshot)), refresh=True)
        elif snapshot.elapsed_s >= self._next_line_s:
            self._next_line_s = snapshot.elapsed_s + _LINE_INTERVAL_S
            self.say(line_of(snapshot))

    def __enter__(self) -> "Screen":
        """Start drawing."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()
