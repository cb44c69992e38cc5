"""Sizes in bytes as people write them.

What: `parse_size` reads ``256MiB``, ``1.5GB`` or a plain number of bytes.

Invariant: binary and decimal units are what they say (MiB is 1,048,576 and MB 1,000,000 bytes); anything else is an
`InvalidOption` that names the value and what was expected.

Why both: operators size machines in binary units and copy figures in decimal ones, and a silent 5 % is a bad surprise
for a memory limit.
"""

import re

from dynacache.errors import InvalidOption

__all__ = ["parse_size"]

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


def parse_size(text: str, option: str) -> int:
    """Return bytes; raises InvalidOption naming `option`."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*", text)
    if match is None or match[2].lower() not in _UNITS:
        raise InvalidOption(f"{option}: got {text!r}, expected bytes or a size such as 512MiB or 2GB")
    number, unit = match[1], _UNITS[match[2].lower()]
    return int(float(number) * unit) if "." in number else int(number) * unit
