"""A daemon of one's own for a block: for tests, demonstrations and benchmarks. docs/testing.md shows how.

It reads no configuration but the one that it is given here, keeps its state beside nobody else's, and does not outlive the
process that started it, whatever ends that one: it holds a pipe, and the daemon ends in order when its last writer is gone.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actorcore.errors import CallTimeout, RequestError
from supervisors import paths
from supervisors.client import Client
from supervisors.configuration import FILE_VARIABLE

START_TIMEOUT_S = 20.0
END_TIMEOUT_S = 60.0
"""More than a session may take for its end by default."""
LAST_WORDS_CHARACTERS = 2000


class PrivateDaemon:
    """A daemon in ``directory``. What it says on standard error is in ``log``, a file beside that."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes], log: Path) -> None:
        self.directory = directory
        self.process = process
        """Its guardian: ``process.kill()`` is the death of the whole daemon."""
        self.log = log

    def connect(self) -> Client:
        """A client of it, which the caller closes."""
        return Client.connect(self.directory)


@contextmanager
def private_daemon(directory: Path, configuration: str = "", state: Path | None = None) -> Iterator[PrivateDaemon]:
    """A daemon that serves in ``directory``, which it makes; at the end of the block it is told to end, and awaited.

    :param configuration: TOML, as a configuration file has it.
    :param state: where it keeps what outlives it; by default ``state`` in ``directory``.
    :raises RequestError: ``start_failed``, with the end of its log.
    :raises CallTimeout: it was told to end and did not; it has been killed, and all that it had started with it.
    """
    directory = directory.absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    log, settings = (directory.with_name(f"{directory.name}.{kind}") for kind in ("log", "toml"))
    settings.write_text(configuration)
    own = {FILE_VARIABLE: str(settings), paths.STATE_VARIABLE: str((state or directory / "state").absolute())}
    lifeline, held = os.pipe()
    with open(held, "wb"):
        try:
            process = _started(directory, os.environ | own, log, lifeline)
        finally:
            os.close(lifeline)
        try:
            yield PrivateDaemon(directory, process, log)
        finally:
            _end(process)


def _started(directory: Path, environment: dict[str, str], log: Path, lifeline: int) -> subprocess.Popen[bytes]:
    """A daemon that serves."""
    ready, told = os.pipe()
    with open(ready, "rb", buffering=0) as readiness:
        argv = [sys.executable, "-P", "-m", "supervisors.daemon", "--dir", str(directory)]
        argv += ["--ready-fd", str(told), "--lifeline", str(lifeline)]
        try:
            with log.open("ab") as words:
                process = subprocess.Popen(
                    argv,
                    pass_fds=[told, lifeline],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stderr=words,
                    start_new_session=True,
                )
        finally:
            os.close(told)
        poll = select.poll()
        poll.register(readiness, select.POLLIN)
        if poll.poll(START_TIMEOUT_S * 1000) and readiness.read(1) == b"1":
            return process
    _end(process)
    raise RequestError("start_failed", log.read_text(errors="replace")[-LAST_WORDS_CHARACTERS:].strip())


def _end(process: subprocess.Popen[bytes]) -> None:
    """Tell it to end, and await that."""
    process.terminate()
    try:
        process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise CallTimeout("the daemon did not end in time, and was killed") from None
