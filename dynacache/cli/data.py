"""The commands that read and write keys: get, set, delete, ttl, touch, mget, increment, exists, fetch.

What: one function each, from a client and plain arguments to an `Answer`.

Invariant: a key that is not there ends with exit code 3 and one sentence on standard error, never with an empty line
that looks like an empty value. A write's exit code tells whether it was applied.

Values: text is stored as a string, ``--json`` stores what the JSON says, ``--raw-file`` the bytes of a file, untouched.
"""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dynacache.cli.output import EXIT_NOT_FOUND, Answer, Rows, jsonable
from dynacache.cli.session import CacheClient
from dynacache.cli.shown import shown_bytes
from dynacache.errors import InvalidRequest

__all__ = ["delete", "exists", "fetch", "get", "increment", "mget", "set_value", "touch", "ttl", "value_from"]

_STANDARD_STREAM = "-"


def value_from(text: str | None, as_json: bool, raw_file: str | None) -> Any:
    """The value a command line asks to store; raises InvalidRequest."""
    if (text is None) == (raw_file is None):
        raise InvalidRequest("expected a VALUE or --raw-file FILE, and not both")
    if raw_file is not None:
        if as_json:
            raise InvalidRequest("--raw-file stores bytes, it does not go with --json")
        return _read_bytes(raw_file)
    assert text is not None
    if not as_json:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"--json: got {text!r}, expected a JSON document: {error}") from error


def _read_bytes(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == _STANDARD_STREAM else Path(name).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"--raw-file: cannot read {name}: {error}") from error


def get(client: CacheClient, key: str, level: str | None, raw_file: str | None) -> Answer:
    """Print the value, or write its bytes to a file."""
    fetched = client.fetch(key, level=level)
    if not fetched.found:
        return _not_found(key, fetched.miss_reason)
    record = {"key": key, "found": True, "value": fetched.value}
    if raw_file is None:
        return Answer(record, text=_text_of(fetched.value))
    content = fetched.value if isinstance(fetched.value, bytes) else _text_of(fetched.value).encode("utf-8")
    if raw_file == _STANDARD_STREAM:
        sys.stdout.buffer.write(content)
        return Answer(record)
    try:
        Path(raw_file).write_bytes(content)
    except OSError as error:
        raise InvalidRequest(f"--raw-file: cannot write {raw_file}: {error}") from error
    return Answer({"key": key, "found": True, "bytes": len(content)}, text=f"wrote {len(content)} bytes to {raw_file}")


def set_value(
    client: CacheClient,
    key: str,
    value: Any,
    *,
    ttl: float | None,
    sliding: bool = False,
    only_if_absent: bool,
    only_if_present: bool,
    level: str | None,
    tags: Sequence[str] = (),
) -> Answer:
    """Store a value."""
    if only_if_absent and only_if_present:
        raise InvalidRequest("--if-absent and --if-present exclude each other")
    conditions = {"only_if_absent": only_if_absent, "only_if_present": only_if_present}
    options: dict[str, Any] = {**conditions, **({"tags": tags} if tags else {})}
    if sliding:
        options["sliding"] = True
    applied = bool(client.set(key, value, ttl=ttl, level=level, **options))
    if applied:
        return Answer({"key": key, "applied": True}, text="stored")
    condition = "there is a value already" if only_if_absent else "there is no value to replace"
    return Answer({"key": key, "applied": False}, complaint=f"not stored: {condition}", exit_code=EXIT_NOT_FOUND)


def delete(client: CacheClient, key: str, level: str | None) -> Answer:
    """Delete a key; deleting what is not there is done as well."""
    client.delete(key, level=level)
    return Answer({"key": key, "applied": True}, text="deleted")


def exists(client: CacheClient, key: str, level: str | None) -> Answer:
    """Say whether there is a value; exit code 3 when not."""
    found = client.exists(key, level=level)
    return Answer({"key": key, "found": found}, text="yes" if found else "no", exit_code=0 if found else EXIT_NOT_FOUND)


def ttl(client: CacheClient, key: str, level: str | None) -> Answer:
    """Print the seconds a value has left to live."""
    fetched = client.fetch(key, level=level)
    if not fetched.found:
        return _not_found(key, fetched.miss_reason)
    left = fetched.ttl
    return Answer({"key": key, "found": True, "ttl_s": left}, text="never expires" if left is None else f"{left:.3f}")


def touch(client: CacheClient, key: str, seconds: float, level: str | None) -> Answer:
    """Give a value so many seconds to live from now."""
    if client.touch(key, seconds, level=level):
        return Answer({"key": key, "found": True}, text="touched")
    return _not_found(key, None)


def increment(client: CacheClient, key: str, delta: int, ttl_s: float | None, level: str | None) -> Answer:
    """Add to a counter and print its value."""
    value = client.increment(key, delta, ttl=ttl_s, level=level)
    return Answer({"key": key, "value": value}, text=str(value))


def mget(client: CacheClient, keys: Sequence[str], level: str | None) -> Answer:
    """Print the values of keys; exit code 3 when none of them has one."""
    if not keys:
        raise InvalidRequest("expected at least one KEY")
    found = client.get_many(keys, level=level)
    rows = tuple((key, _text_of(found[key]) if key in found else "(not found)") for key in keys)
    return Answer(
        {"found": {key: found[key] for key in keys if key in found}, "missing": [k for k in keys if k not in found]},
        tables=(Rows("", ("key", "value"), rows),),
        exit_code=0 if found else EXIT_NOT_FOUND,
    )


def fetch(client: CacheClient, key: str, level: str | None, siblings: bool) -> Answer:
    """Print a value with its version, instants, time to live and the receipt of the read."""
    fetched = client.fetch(key, level=level, siblings=siblings, receipt=True)
    if not fetched.found:
        return _not_found(key, fetched.miss_reason)
    record = {
        "key": key,
        "found": True,
        "value": fetched.value,
        "version": None if fetched.version is None else fetched.version.hex(),
        "created_at": fetched.created_at,
        "last_updated": fetched.last_updated,
        "ttl_s": fetched.ttl,
        "size_bytes": fetched.size_bytes,
        "tags": [_text_of(tag) for tag in fetched.tags],
        "siblings": [{"value": each.value, "last_updated": each.last_updated} for each in fetched.siblings],
        "receipt": _receipt(fetched.receipt),
    }
    rows = [
        ("value", _text_of(fetched.value)),
        *(("concurrent", _text_of(each.value)) for each in fetched.siblings),
        ("version", record["version"]),
        ("created", _instant(fetched.created_at)),
        ("last updated", _instant(fetched.last_updated)),
        ("time to live", "never expires" if fetched.ttl is None else f"{fetched.ttl:.3f} s"),
        ("size in one copy", "-" if fetched.size_bytes is None else shown_bytes(fetched.size_bytes)),
        ("tags", _told(record["tags"])),
        *((name.replace("_", " "), _told(told)) for name, told in (record["receipt"] or {}).items()),
    ]
    return Answer(record, tables=(Rows(key, ("what", "is"), tuple(rows)),))


def _instant(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "milliseconds")


def _told(value: Any) -> str:
    """A field of a receipt: a name, a list of nodes, or a mark."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return ", ".join(value or ()) or "-"


def _receipt(receipt: Any) -> dict[str, Any] | None:
    if receipt is None:
        return None
    names = ("coordinator", "asked", "answered", "unknown", "stood_in", "unrepaired", "degraded")
    level = receipt.level
    return {"level": None if level is None else level.name.lower()} | {name: getattr(receipt, name) for name in names}


def _not_found(key: str, reason: Any) -> Answer:
    name = None if reason is None else reason.name.lower()
    return Answer(
        {"key": key, "found": False, "reason": name},
        complaint=f"key {key!r} not found" + (f" ({name.replace('_', ' ')})" if name else ""),
        exit_code=EXIT_NOT_FOUND,
    )


def _text_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return json.dumps(jsonable(value))
