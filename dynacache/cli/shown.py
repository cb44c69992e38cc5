"""Figures as people read them: bytes, spans of time, instants, marks.

What: one function for each kind of figure that the operator's commands print.

Invariant: pure; JSON output never goes through here, so a program always gets the plain number.

Why: an operator compares figures of several commands, so each kind looks the same everywhere.
"""

from datetime import UTC, datetime

__all__ = ["cell", "counted", "shown_bytes", "shown_instant", "shown_span"]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024.0


def cell(value: object) -> object:
    """A value as a table shows it: a dash for what is not known, yes and no for marks."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value in (None, "") else value


def counted(count: int, what: str, plural: str = "") -> str:
    """A number of things: ``1 partition``, ``2 partitions``."""
    return f"{count} {what if count == 1 else plural or what + 's'}"


def shown_bytes(size: float) -> str:
    """A size in bytes, in the binary unit that suits it."""
    unit = 0
    while abs(size) >= _STEP and unit < len(_UNITS) - 1:
        size /= _STEP
        unit += 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


def shown_span(milliseconds: float) -> str:
    """A span of time, in the unit that suits it."""
    seconds = milliseconds / 1000
    if seconds < 1:
        return f"{milliseconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = seconds / 60, seconds / 3600
    if hours < 1:
        return f"{minutes:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def shown_instant(milliseconds: float) -> str:
    """An instant in milliseconds since 1970 as a date and time; a dash for 0."""
    if not milliseconds:
        return "-"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")
