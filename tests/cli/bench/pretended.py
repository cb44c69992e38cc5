"""A cluster of nodes that are no processes: every order succeeds at once and is written down."""

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["PretendedCluster"]


@attrs.define
class _Process:
    returncode: int = 0


@attrs.define
class _Child:
    pid: int
    name: str
    running: bool = True
    process: _Process = attrs.field(factory=_Process)

    def said(self) -> str:
        return "last words"


@attrs.define
class PretendedCluster:
    """Stands where a `LocalCluster` would."""

    count: int = 3
    events: list[str] = attrs.field(factory=list)
    children: list[_Child] = attrs.field(factory=list)
    received: int = 0
    left: list[str] = attrs.field(factory=list)
    exit_code: int = 0
    entries: int = 10
    _started: int = 0

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(child.name for child in self.children)

    def _child(self) -> _Child:
        self._started += 1
        return _Child(self._started, f"n{self._started}")

    def start(self) -> None:
        self.children = [self._child() for _ in range(self.count)]

    def wait_until_agreed(self) -> float:
        return 0.5

    def add(self) -> int:
        self.events.append("add")
        self.received += 1000
        self.children.append(self._child())
        self.count += 1
        return self.count - 1

    def kill(self, position: int) -> None:
        self.events.append(f"kill {position}")
        self.children[position].running = False

    def terminate(self, position: int) -> int:
        self.events.append(f"terminate {position}")
        self.children[position].running = False
        return self.exit_code

    def restart(self, position: int) -> None:
        self.events.append(f"restart {position}")
        self.received += 1000
        self.children[position].running = True

    def order(self, position: int, command: str, **arguments: Any) -> Mapping[str, Any]:
        self.events.append(f"{command} {arguments['node']}")
        child = self.children[position]
        child.running, child.process.returncode = False, self.exit_code
        self.left.append(child.name)
        return {}

    def forget(self, position: int) -> None:
        del self.children[position]
        self.count -= 1

    def report(self, position: int, topic: str) -> Mapping[str, Any]:
        if topic == "ready":
            return {"ready": True, "warming_partitions": 0}
        if topic == "statistics":
            received = self.received if position == 0 else 0
            held = {"storage_entries": self.entries} if self.entries else {}
            return {"transfer_bytes_in": received, "exchange_bytes_received": 5, **held}
        members = [{"address": child.name, "place": "normal"} for child in self.children]
        members += [{"address": name, "place": "left"} for name in self.left]
        return {"node": self.children[position].name, "members": members}

    def check_running(self) -> None:
        self.events.append("check")

    def close(self) -> None:
        self.events.append("close")
