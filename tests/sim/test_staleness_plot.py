"""The picture: a PNG with matplotlib, one clear sentence without."""

import sys
from io import BytesIO

import pytest

from sim.staleness import Windows
from sim.staleness_plot import PlottingMissing, plot

WINDOWS = [Windows(3, 1, 1, "owner", (0.0, 1.0, 2.0, 30.0)), Windows(3, 2, 2, "owner", (0.0, 0.0))]


def test_a_plot_is_a_png() -> None:
    pytest.importorskip("matplotlib")
    picture = BytesIO()
    plot(WINDOWS, 30.0, picture)
    assert picture.getvalue().startswith(b"\x89PNG")
    assert len(picture.getvalue()) > 5_000


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(PlottingMissing, match=r"dynacache\[sim\]"):
        plot(WINDOWS, 30.0, BytesIO())
