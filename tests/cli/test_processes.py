"""Children: started with a log, killed, stopped politely or not, and never left behind."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dynacache.cli.processes import Child, ProcessGroup, StartFailed, child_environment, free_ports, terminate_as_exit

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def wait_for(child: Child, text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in child.said():
        assert time.monotonic() < deadline, child.said()
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_children_end_with_the_block() -> None:
    with ProcessGroup(stop_timeout_s=0.3) as group:
        children = [group.start("polite", SLEEP), group.start("stubborn", STUBBORN)]
        for child in children:
            wait_for(child, "up")
        folder = group.folder
    assert [child.process.returncode for child in children] == [-signal.SIGTERM, -signal.SIGKILL]
    assert not folder.exists()


def test_children_end_when_the_block_fails() -> None:
    with contextlib.suppress(KeyboardInterrupt), ProcessGroup() as group:
        child = group.start("a", SLEEP)
        raise KeyboardInterrupt
    assert not child.running


def test_a_kill_is_at_once_and_the_name_can_start_again() -> None:
    with ProcessGroup() as group:
        first = group.start("127.0.0.1:9", STUBBORN)
        wait_for(first, "up")
        first.kill()
        assert first.process.returncode == -signal.SIGKILL
        second = group.start("127.0.0.1:9", SLEEP)
        assert second.running
        assert group.children == [second]
    assert not second.running


def test_released_children_live_on() -> None:
    with ProcessGroup() as group:
        child = group.start("a", SLEEP)
        group.release()
    try:
        assert child.running
        assert group.folder.exists()
    finally:
        group.stop()
        child.log.unlink()
        group.folder.rmdir()


def test_release_does_not_outlive_an_error() -> None:
    with contextlib.suppress(RuntimeError), ProcessGroup() as group:
        child = group.start("a", SLEEP)
        group.release()
        raise RuntimeError
    assert not child.running


def test_what_cannot_start() -> None:
    with ProcessGroup() as group, pytest.raises(StartFailed, match="cannot start a"):
        group.start("a", ["/does/not/exist"])


def test_last_words_are_the_end_of_the_log() -> None:
    with ProcessGroup() as group:
        child = group.start("a", [sys.executable, "-c", "print('x' * 5000); print('the end')"])
        child.process.wait()
        assert child.said().endswith("the end")
        assert len(child.said()) <= 2000


def test_settings_of_this_process_do_not_reach_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNACACHE_NETWORK_PORT", "1")
    environment = child_environment()
    assert not [name for name in environment if name.startswith("DYNACACHE_")]
    assert str(Path(__file__).parent.parent.parent) in environment["PYTHONPATH"].split(os.pathsep)


def test_free_ports_are_different_and_bindable() -> None:
    ports = free_ports(8)
    assert len(set(ports)) == 8
    assert all(20_000 <= port < 32_000 for port in ports)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_taken_ports_are_not_free(kind: socket.SocketKind) -> None:
    class Repeating(random.Random):
        def randrange(self, *_: int) -> int:  # type: ignore[override]
            return int(taken)

    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        taken = holder.getsockname()[1]
        with pytest.raises(StartFailed, match="found 0 free ports"):
            free_ports(1, Repeating())


def test_sigterm_ends_children_of_a_process_that_is_told_to_stop(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from dynacache.cli.processes import ProcessGroup, terminate_as_exit\n"
        "with terminate_as_exit(), ProcessGroup() as group:\n"
        "    child = group.start('a', [sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "    print(child.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=child_environment(), cwd=tmp_path
    )
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.terminate()
        assert parent.wait(20) == 128 + signal.SIGTERM
    assert not alive(pid)


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with terminate_as_exit():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
