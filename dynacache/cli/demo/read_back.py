"""Read every key that has an acknowledged write, once, at quorum.

What: `read_back` fetches keys through a few threads and turns each answer into a `Reading` for the verdict.

Invariant: one fetch for each key; whatever it answers is what counts. An error, or a miss for any reason but eviction,
leaves the key unreadable.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from dynacache.cli.demo.journal import Stamp, read_stamp
from dynacache.cli.demo.verdict import Reading
from dynacache.cli.session import CacheClient
from dynacache.errors import DynacacheError
from dynacache.types import MissReason

__all__ = ["read_back", "read_key"]

_THREADS = 8


def read_back(client: CacheClient, keys: Sequence[bytes], positions: Sequence[int]) -> Mapping[int, Reading]:
    """One reading for each position in `keys`."""
    with ThreadPoolExecutor(_THREADS, "read back") as pool:
        readings = pool.map(lambda position: read_key(client, keys[position]), positions, chunksize=64)
        return dict(zip(positions, readings, strict=True))


def read_key(client: CacheClient, key: bytes) -> Reading:
    """Read one key with its siblings."""
    try:
        fetched = client.fetch(key, level="quorum", siblings=True)
    except DynacacheError as error:
        return Reading(error=f"{type(error).__name__}: {error}")
    if not fetched.found:
        reason = fetched.miss_reason
        name = "no reason" if reason is None else reason.name.lower()
        return Reading(evicted=reason == MissReason.EVICTED, error=f"a miss ({name})")
    stamps: list[Stamp] = []
    foreign = False
    for value in (fetched.value, *(sibling.value for sibling in fetched.siblings)):
        found = read_stamp(value)
        if found is None:
            foreign = True
        elif found not in stamps:
            stamps.append(found)
    return Reading(tuple(stamps), foreign)
