"""The share of stale reads over time, as a picture.

What: ``plot`` draws one line a level and writes a PNG to a stream.

Invariant: matplotlib is imported only when a picture is asked for, and its absence is one clear sentence. Nothing is
drawn on a screen and no global state of matplotlib is touched.

Why a logarithmic share: the interesting levels differ in how many nines they have, not in what a linear axis shows.
"""

from collections.abc import Sequence
from typing import IO

from .staleness import Windows

__all__ = ["PlottingMissing", "plot"]

_POINTS = 200


class PlottingMissing(ValueError):
    """matplotlib is not installed."""


def plot(found: Sequence[Windows], until_ms: float, stream: IO[bytes]) -> None:
    """Write a PNG of the share of stale reads from an acknowledgement to ``until_ms`` after it.

    Raises PlottingMissing without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlottingMissing("a plot needs matplotlib: pip install 'dynacache[sim]'") from error
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    moments = [until_ms * number / _POINTS for number in range(_POINTS + 1)]
    for windows in found:
        shares = [windows.stale_at(moment) or float("nan") for moment in moments]
        never = "" if windows.stale_at(0.0) else " (never)"
        axes.plot(moments, shares, label=f"r={windows.r} w={windows.w}{never}")
    axes.set_yscale("log")
    axes.set_xlabel("ms between the acknowledgement of a write and the read")
    axes.set_ylabel("share of stale reads")
    axes.set_title(f"n={found[0].n}, read through: {found[0].way}" if found else "")
    axes.grid(visible=True, which="both", alpha=0.3)
    if found:
        axes.legend()
    figure.savefig(stream, format="png", dpi=120)
