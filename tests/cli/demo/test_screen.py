"""What is shown: a line without control characters, tables with every figure."""

import io

import attrs
from rich.console import Console

from dynacache.cli.demo.screen import NodeRow, Screen, Snapshot, figures_table, line_of, nodes_table

NODES = (NodeRow("127.0.0.1:1", "alive", 1234, 50 * 2**20, 7, 0), NodeRow("127.0.0.1:2", "dead", 0, 0, 35, 1024))
SNAPSHOT = Snapshot(12.3, 30.0, "one node killed", 5000, 1499.5, 1.234, 9.876, 0.666, 1, 2, NODES)


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def rendered(table: object) -> str:
    stream = io.StringIO()
    Console(file=stream, width=200).print(table)
    return stream.getvalue()


def test_a_line_has_the_figures() -> None:
    line = line_of(SNAPSHOT)
    for text in ("12.3 s", "one node killed", "members 1/2", "1,500 requests/s", "1.23 ms", "9.88 ms", "66.6%"):
        assert text in line
    assert "hints 42" in line
    assert "failed 1  unknown 2" in line


def test_tables_have_the_figures() -> None:
    shown = rendered(figures_table(SNAPSHOT)) + rendered(nodes_table(SNAPSHOT))
    for text in ("5,000", "1,500", "1.23 ms", "66.6%", "127.0.0.1:2", "dead", "1,234", "50.0 MiB", "35", "1,024"):
        assert text in shown


def test_a_file_gets_plain_lines_once_a_second() -> None:
    stream = io.StringIO()
    with Screen(stream) as screen:
        screen.say("starting [b]nodes[/b]")
        for tenths in range(25):
            screen.update(attrs.evolve(SNAPSHOT, elapsed_s=tenths / 10))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "starting [b]nodes[/b]"
    assert len(lines) == 4
    assert stream.getvalue().isprintable() or "\x1b" not in stream.getvalue()


def test_a_terminal_is_given_back() -> None:
    stream = Terminal()
    try:
        with Screen(stream) as screen:
            screen.update(SNAPSHOT)
            screen.say("killing")
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    shown = stream.getvalue()
    assert "killing" in shown
    assert "5,000" in shown
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")
