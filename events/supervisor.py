"""Keeps one nats-server running, and never lets it outlive the process that wanted it.

Run as a program by ``server``: it starts the command in its arguments, starts it again when it dies, and stops
it when standard input closes, which the kernel does for us even when the owner is killed with SIGKILL.
Uses the standard library alone: it runs with ``python -I -S``, so that it starts in milliseconds.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

_STOP_SECONDS = 4.0
_RESTART_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1


def _die_with_supervisor() -> None:
    """Ask Linux to kill the server should the supervisor itself be killed; other systems rely on the pipe."""
    if sys.platform == "linux":
        # A libc without prctl: the pipe alone has to do, as on other systems.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _start(command: list[str], inherited: tuple[int, ...]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        pass_fds=inherited,
        preexec_fn=_die_with_supervisor,  # noqa: PLW1509 - single-threaded here
    )


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _owner_gone(timeout: float) -> bool:
    readable, _, _ = select.select([sys.stdin], [], [], timeout)
    return bool(readable) and not os.read(sys.stdin.fileno(), 1)


def main(arguments: list[str]) -> int:
    """Supervise ``arguments[1:]`` (a command) holding the descriptors in ``arguments[0]`` (comma-separated)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    inherited = tuple(int(part) for part in arguments[0].split(",") if part)
    server = _start(arguments[1:], inherited)
    while not _owner_gone(0.05):
        if server.poll() is not None:
            time.sleep(_RESTART_SECONDS)
            server = _start(arguments[1:], inherited)
    _stop(server)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
