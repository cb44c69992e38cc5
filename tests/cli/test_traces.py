"""Traces: plain and compressed, broken files, and the excerpt that lives here."""

import lzma
from pathlib import Path

import pytest

from dynacache.cli.traces import read_sized_trace, read_trace

EXCERPT = Path(__file__).parent.parent / "data" / "web07-excerpt.txt.xz"


@pytest.mark.parametrize("compressed", [False, True])
def test_keys_come_in_order(tmp_path: Path, compressed: bool) -> None:
    content = b"17\nabc 512\n\xff\xfe\n17 x y\n"
    path = tmp_path / ("trace.txt.xz" if compressed else "trace.txt")
    path.write_bytes(lzma.compress(content) if compressed else content)
    assert list(read_trace(path)) == [b"17", b"abc", b"\xff\xfe", b"17"]
    assert list(read_trace(path, 2)) == [b"17", b"abc"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.txt", None, "cannot read"),
        ("broken.txt.xz", b"this is not xz", "cannot read"),
        ("cut.txt.xz", lzma.compress(b"a\n" * 50_000)[:60], "cannot read"),
        ("empty-line.txt", b"a\n\nb\n", "line 2"),
        ("long-key.txt", b"a" * 1025, "line 1"),
    ],
)
def test_what_is_no_trace_is_said(tmp_path: Path, name: str, content: bytes | None, reason: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        list(read_trace(path))


def test_the_excerpt_is_a_trace() -> None:
    keys = list(read_trace(EXCERPT))
    assert len(keys) >= 1000
    assert 1 < len(set(keys)) < len(keys)


def test_sizes_come_with_the_keys_where_there_are_any(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    path.write_text("a 512\nb\nc x 9\nd 0\n")
    assert list(read_sized_trace(path)) == [(b"a", 512), (b"b", None), (b"c", None), (b"d", 0)]
