"""Run the command line as a module: ``python -m dynacache``.

What: the same `main` as the installed `dynacache` script.

Why: the demo and the tests start nodes with the interpreter they run under, whether or not a script is installed.
"""

import sys

from dynacache.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
