"""An actor that tells what it found when its module was imported: the first moment of user code in a process."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

from actorcore.gen_server import GenServer, Reply
from actorcore.mailbox import From


def _descriptors() -> list[int]:
    names = os.listdir("/proc/self/fd")  # one of them is that of the listing
    return sorted(int(name) for name in names if os.path.lexists(f"/proc/self/fd/{name}"))


def _status(field: str) -> str:
    return Path("/proc/self/status").read_text().partition(f"{field}:\t")[2].split()[0]


NAMES = ("as", "core", "cpu", "fsize", "nofile", "nproc")
FOUND: dict[str, Any] = {
    "fds": _descriptors(),
    "outputs": [os.readlink("/proc/self/fd/1"), os.readlink("/proc/self/fd/2")],
    "stdin": os.readlink("/proc/self/fd/0"),
    "signals": {name: int(_status(name), 16) & ((1 << 31) - 1) for name in ("SigBlk", "SigIgn", "SigCgt")},
    "is_leader": os.getsid(0) == os.getpgid(0) == os.getpid(),
    "no_new_privs": _status("NoNewPrivs"),
    "threads": _status("Threads"),
    "environment": dict(os.environ),
    "cwd": os.getcwd(),
    "umask": _status("Umask"),
    "limits": {name: list(resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))) for name in NAMES},
    "nice": os.getpriority(os.PRIO_PROCESS, 0),
    "oom_score_adj": int(Path("/proc/self/oom_score_adj").read_text()),
}


LIBC = next(line.split("-")[0] for line in Path("/proc/self/maps").read_text().splitlines() if "/libc" in line)
"""Where it lies in memory."""


class Newborn(GenServer):
    """Answers ``found``, writes what it is given to its output, eats what it is told to eat."""

    def handle_call(self, request: object, frm: From) -> Reply:
        verb, argument = request  # type: ignore[misc]
        return Reply(getattr(self, f"do_{verb}")(argument))

    def do_found(self, _: None) -> object:
        return FOUND

    def do_chance(self, _: None) -> object:
        return {"hash": hash("actorcore"), "libc": LIBC}

    def do_print(self, text: str) -> None:
        print(text)

    def do_print_surrogate(self, _: None) -> None:
        print("\udcff")

    def do_print_times(self, count: int) -> int:
        for number in range(count):
            print("x" * 98, number)
        return os.fstat(1).st_size

    def do_write_past_python(self, size_bytes: int) -> int:
        left = size_bytes
        while left:
            left -= os.write(2, b"y" * min(left, 1 << 16))
        return os.fstat(2).st_size

    def do_redirect(self, path: str) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(fd, 1)
        os.close(fd)

    def do_full_disk(self, _: None) -> None:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, 1)
        os.dup2(full, 2)
        os.close(full)

    def do_open_files(self, count: int) -> object:
        files = []
        try:
            for _ in range(count):
                files.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            return error.strerror
        finally:
            for fd in files:
                os.close(fd)
        return count

    def do_allocate(self, size_bytes: int) -> object:
        try:
            return len(bytearray(size_bytes))
        except MemoryError as error:
            return type(error).__name__

    def do_write_file(self, arguments: list[Any]) -> None:
        path, size_bytes = arguments
        Path(path).write_bytes(b"z" * size_bytes)

    def do_burn(self, _: None) -> None:
        while True:
            pass


class AsyncNewborn(Newborn):
    """The same in a loop."""

    async def handle_call(self, request: object, frm: From) -> Reply:  # type: ignore[override]
        return super().handle_call(request, frm)
