"""The daemon: the guardian with its sockets and memory, and the residents that its node runs.

``python -m supervisors.daemon --dir DIR [--config FILE] [--announce LINE] [--json] [--ready-fd N] [--lifeline N]
[--faults PLAN]``
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import socket
import sys
from pathlib import Path

import msgspec

from actorcore.errors import RequestError
from actorcore.ledger import Ledger
from actorcore.runtime import descriptors, fault_injection, log, memory
from actorcore.runtime.guardian.guardian import Guardian
from actorcore.runtime.guardian.keep import Mappings
from actorcore.runtime.log_cap import LogCap
from actorcore.runtime.shared_registry import SharedRegistry
from actorcore.runtime.status_page import PAGE_BYTES
from supervisors import exit_codes, paths
from supervisors.configuration import Configuration, InvalidConfiguration, configuration_file, read_configuration
from supervisors.node_entry import SETTINGS_VARIABLE, node_main
from supervisors.place import AlreadyRunning, listen, take_lock

LEDGER_BYTES = 64 << 20
STATUS_PAGES = 16384
AS_ROOT = "the daemon runs as root, and so does all code of every session"
NODE_ENTRY = f"{node_main.__module__}:{node_main.__name__}"
"""Imported here, called in forks only: they start at once, whatever becomes of the files meanwhile."""


def main(node_entry: str = NODE_ENTRY) -> int:
    """Run the daemon until it is told to end; the exit status of the process. ``node_entry``: ``module:name`` of its node."""
    arguments = _arguments()
    if arguments.faults:
        fault_injection.arm(arguments.faults)
    if arguments.lifeline >= 0:
        _end_with_writers(arguments.lifeline)
    os.umask(0o077)
    descriptors.raise_limit()
    try:
        directory = paths.prepare_directory(Path(arguments.dir).absolute())
        configuration = read_configuration(configuration_file(arguments.config))
        os.environ[paths.STATE_VARIABLE] = str(paths.state_directory(directory))  # for the store, which makes it
        take_lock(directory)
        listener = listen(directory)
    except InvalidConfiguration as error:
        return _refused(RequestError("invalid_config", str(error)), arguments.json, exit_codes.INVALID_CONFIGURATION)
    except AlreadyRunning as error:
        return _refused(error, arguments.json, exit_codes.ALREADY_RUNNING)
    except RequestError as error:
        return _refused(error, arguments.json)
    logs = _fresh_logs(directory)
    sessions = configuration.sessions
    sessions = msgspec.structs.replace(sessions, resume=sessions.resume and paths.has_saved_sessions())
    os.environ[SETTINGS_VARIABLE] = msgspec.json.encode(sessions).decode()
    _settle_in_root()
    try:
        instance = int.from_bytes(os.urandom(8), "big") >> 1
        return _guard(instance, _mappings(instance), listener, arguments, configuration, str(logs), node_entry)
    except NoMemory as error:
        return _refused(error, arguments.json)
    finally:
        listener.close()
        (directory / paths.SOCKET_NAME).unlink(missing_ok=True)


def _refused(error: RequestError, as_json: bool, exit_code: int = exit_codes.REFUSED) -> int:
    """Say it as every command does; the exit status."""
    print(exit_codes.error_json(error.code, error.detail) if as_json else f"error: {error}", file=sys.stderr)
    return exit_code


def _end_with_writers(pipe: int) -> None:
    """From now on the kernel sends us SIGTERM when nobody holds the other end of ``pipe`` any more (fcntl(2), F_SETSIG)."""
    os.set_inheritable(pipe, False)
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGTERM)
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
    with contextlib.suppress(BlockingIOError):
        if not os.read(pipe, 1):  # the last one had gone before we asked
            signal.raise_signal(signal.SIGTERM)


def _settle_in_root() -> None:
    """The daemon, and so each session at its start, works in ``/``: it keeps no file system from being unmounted."""
    if search_path := os.environ.get("PYTHONPATH"):
        os.environ["PYTHONPATH"] = os.pathsep.join(os.path.abspath(entry) for entry in search_path.split(os.pathsep) if entry)
    os.chdir("/")


def _fresh_logs(directory: Path) -> Path:
    """The directory of the processes' logs, empty; those of the daemon before are kept beside it, one generation.

    When that cannot be had (C20) the daemon starts all the same, and the output of its processes is dropped.
    """
    logs, before = directory / paths.PROCESS_LOGS_NAME, directory / f"{paths.PROCESS_LOGS_NAME}.before"
    try:
        for left in before.iterdir() if before.is_dir() else ():
            left.unlink()
        if logs.exists():
            logs.rename(before)
        logs.mkdir(0o700)
    except OSError as error:
        print(f"{logs}: {error.strerror}; the output of processes is dropped", file=sys.stderr)
    return logs


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="supervisors.daemon")
    parser.add_argument("--dir", required=True)
    parser.add_argument("--config", default="")
    parser.add_argument("--announce", help="a line for standard output, as soon as it serves")
    parser.add_argument("--json", action="store_true", help="what goes wrong is said in JSON")
    parser.add_argument("--ready-fd", type=int, default=-1)
    parser.add_argument("--lifeline", type=int, default=-1, help="the reading end of a pipe: without a writer it ends")
    parser.add_argument("--faults", help="a plan of strikes, for tests: see actorcore.runtime.fault_injection")
    return parser.parse_args()


class NoMemory(RequestError):
    """The daemon's shared memory cannot be had."""


def _mappings(instance: int) -> Mappings:
    """All shared memory that there will ever be, every page allocated: it never grows (C15).

    :raises NoMemory: there is not so much, and the text says what was wanted.
    """
    try:
        registry = SharedRegistry(instance, allocate=memory.allocate_in_child)
        ledger_memory, ledger_fd = _memory("actorcore-ledger", LEDGER_BYTES, future_write=True)
        os.close(ledger_fd)  # nodes inherit the mapping, and nobody else has it
        status, status_fd = _memory("actorcore-status", STATUS_PAGES * PAGE_BYTES, future_write=False)
    except RequestError as error:
        raise NoMemory(error.code, error.detail) from None
    ledger = Ledger.create(ledger_memory)
    return Mappings(ledger_memory, registry.memory, status, registry.fd, status_fd, lambda: ledger.stamp_ns)


def _guard(
    instance: int, mappings: Mappings, listener: socket.socket, arguments: argparse.Namespace, configuration: Configuration,
    logs: str, node_entry: str,
) -> int:  # fmt: skip
    warnings = [AS_ROOT] if os.geteuid() == 0 else []

    def on_serving() -> None:
        while warnings:
            log.report("warning", 0, warnings.pop())
        # Who started us may be dead by now, and that is no reason to end.
        if arguments.announce is not None:
            with contextlib.suppress(OSError):
                os.write(1, f"{arguments.announce}\n".encode())
        if arguments.ready_fd >= 0:
            with contextlib.suppress(OSError):
                os.write(arguments.ready_fd, b"1")
            os.close(arguments.ready_fd)
        arguments.announce, arguments.ready_fd = None, -1  # once; a successor serves in silence

    cap = LogCap(str(Path(logs).with_name(paths.LOG_NAME)))
    return Guardian(node_entry, listener, mappings, instance, on_serving, configuration.templates, logs, cap.look).run()


def _memory(name: str, size_bytes: int, future_write: bool) -> tuple[memoryview, int]:
    """Mapped and sealed (see memory.seal), with its descriptor."""
    fd = memory.create_memfd(name, size_bytes, memory.allocate_in_child)
    view = memory.map_shared(fd, size_bytes, writable=True)
    memory.seal(fd, future_write)
    return view, fd


if __name__ == "__main__":
    sys.exit(main())
