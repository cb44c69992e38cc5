"""The command line: run a node, use the cache, look at the cluster, see a demo, measure.

`main` is what the `dynacache` script calls. Everything else is imported when it is needed.
"""

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    from dynacache.cli.app import run

    return run(sys.argv[1:] if arguments is None else arguments)
