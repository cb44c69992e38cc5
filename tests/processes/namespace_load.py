"""Load from one machine of a lab: a process that writes and reads through the public client, and keeps a journal.

    python -m tests.processes.namespace_load SECRET_FILE OUTPUT FIRST_WRITER WORKERS KEYS RATE HOST:PORT...

What: pretended users with the writer numbers FIRST_WRITER and up use the cluster until standard input closes. Then the
journals and counts are pickled to OUTPUT. With no rate at all the process only reads: every key of the pickled list of
keys on standard input is read once, and the readings are the output.

Why a process: sockets belong to the namespace that they are made in, and the load must come from there.
"""

import pickle
import sys
import threading
from pathlib import Path

from dynacache.cli.demo.read_back import read_back
from dynacache.cli.demo.workload import Shape, Worker
from dynacache.runtime.clients import Client

__all__ = ["key_of"]

VALUE_BYTES = 200


def key_of(number: int) -> bytes:
    """A key of the test."""
    return b"lab:%06d" % number


def _main() -> None:
    secret_file, output, first, workers, keys, rate, *addresses = sys.argv[1:]
    secret = Path(secret_file).read_text().strip()
    names = tuple(key_of(number) for number in range(int(keys)))
    with Client(addresses, secret=secret, timeout=8.0) as client:
        if not float(rate):
            positions = pickle.load(sys.stdin.buffer)
            Path(output).write_bytes(pickle.dumps(read_back(client, names, positions)))
            return
        shape = Shape(
            keys=names,
            zipf_exponent=0.0,
            read_share=0.5,
            value_bytes=VALUE_BYTES,
            rate=float(rate),
            workers=int(workers),
            seed=int(first),
        )
        users = [Worker(int(first) + number, shape, client) for number in range(shape.workers)]
        stop = threading.Event()
        threads = [threading.Thread(target=user.run, args=(stop.is_set,), daemon=True) for user in users]
        for thread in threads:
            thread.start()
        sys.stdin.buffer.read()
        stop.set()
        for thread in threads:
            thread.join(30)
        crashes = [user.crash for user in users if user.crash]
        found = ([user.journal for user in users], [user.counts for user in users], crashes)
        Path(output).write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    _main()
