"""Cache libraries of others to compare with, from the extra ``bench``.

What: each library as a function that makes a cache of a capacity and returns how to read a key and how to fill it.

Invariant: a library is used as its documentation says, and holds no more than the capacity after every call: one that
evicts later is told to do so at once. What is not installed is left out.

Why these: cachetools is what most Python programs use; theine (W-TinyLFU) and moka (TinyLFU) are the best kept of
those with an admission policy. Only the first counts bytes.
"""

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import attrs

__all__ = ["LIBRARIES", "Library"]

_Access = tuple[Callable[[bytes], bool], Callable[[bytes, int], None]]


@attrs.frozen
class Library:
    """One cache class of a library."""

    module: str
    make: Callable[[int], AbstractContextManager[_Access]]
    units: tuple[str, ...] = ("entries",)

    def is_there(self) -> bool:
        """Whether it is installed."""
        return importlib.util.find_spec(self.module) is not None


def _cachetools(name: str) -> Callable[[int], AbstractContextManager[_Access]]:
    @contextmanager
    def make(capacity: int) -> Iterator[_Access]:
        cache = getattr(importlib.import_module("cachetools"), name)(capacity, getsizeof=lambda size: size)

        def fill(key: bytes, size: int) -> None:
            cache[key] = size

        yield lambda key: cache.get(key) is not None, fill

    return make


@contextmanager
def _theine(capacity: int) -> Iterator[_Access]:
    cache = importlib.import_module("theine").Cache(capacity)
    try:
        yield lambda key: bool(cache.get(key)[1]), lambda key, size: cache.set(key, size)
    finally:
        cache.close()


@contextmanager
def _moka(capacity: int) -> Iterator[_Access]:
    cache = importlib.import_module("moka_py").Moka(capacity)

    def get(key: bytes) -> bool:
        found = cache.get(key) is not None
        cache.run_pending_tasks()
        return found

    def fill(key: bytes, size: int) -> None:
        cache.set(key, size)
        cache.run_pending_tasks()

    yield get, fill


LIBRARIES = {
    "cachetools LRU": Library("cachetools", _cachetools("LRUCache"), ("entries", "bytes")),
    "cachetools LFU": Library("cachetools", _cachetools("LFUCache"), ("entries", "bytes")),
    "theine": Library("theine", _theine),
    "moka": Library("moka_py", _moka),
}
