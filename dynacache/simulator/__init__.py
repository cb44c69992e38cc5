"""The simulator, by the name that users know: in a checkout its modules are those of the folder ``sim``.

A wheel carries ``sim`` in the place of this folder, so `dynacache.simulator` is the same everywhere and nobody's own
module ``sim`` is in the way.
"""

__path__ = [__path__[0].removesuffix("dynacache/simulator") + "sim"]
