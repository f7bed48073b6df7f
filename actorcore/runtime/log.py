"""The log of guardian and node: one JSON line per record on stderr; it never blocks and counts what it drops.

A pipe or a terminal that nobody reads would stop us in the middle of a turn, so those are opened anew without blocking:
O_NONBLOCK on the descriptor that we inherited would change it for everybody who shares it (open(2), fcntl(2)).
"""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Iterable

import msgspec

from actorcore.exit_reason import Term
from actorcore.runtime import clock

STDERR = 2
SELDOM_S = 1.0
"""Between two records of one kind that strangers can cause at will."""
_LIMIT_BYTES = 4095
"""A record is written to a pipe whole or not at all: PIPE_BUF, pipe(7)."""
_ENCODE_ERRORS = (TypeError, ValueError, RecursionError, OverflowError, msgspec.MsgspecError)


class Log:
    """Where records go. ``dropped``: how many did not get there since the process began."""

    def __init__(self) -> None:
        self.dropped = 0
        self._fd = STDERR
        self._untold = 0
        self._is_torn = False
        self._is_socket = False
        self._asks = False
        self._seldom: dict[str, tuple[float, int]] = {}

    def open_stderr(self) -> None:
        """Make sure that writing to stderr does not block from now on; to be called after a fork too."""
        self._fd, self._is_socket, self._asks = STDERR, False, False
        try:
            mode = os.fstat(STDERR).st_mode
            self._is_socket = stat.S_ISSOCK(mode)
            if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
                flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
                self._fd = os.open(f"/proc/self/fd/{STDERR}", flags)
        except OSError:  # closed, or the terminal of who called su
            self._asks = True

    def report(self, kind: str, serial: int, detail: Term = None, suppressed: int = 0) -> None:
        """Write one record."""
        self._write(self._line(kind, serial, detail, clock.monotonic_s(), suppressed), 1)

    def report_all(self, records: Iterable[tuple[str, int, Term, float]]) -> None:
        """As :meth:`report` for each, with its time, in as few writes as a pipe takes whole."""
        batch, count = b"", 0
        for record in records:
            line = self._line(*record)
            if count and len(batch) + len(line) > _LIMIT_BYTES:
                self._write(batch, count)
                batch, count = b"", 0
            batch += line
            count += 1
        if count:
            self._write(batch, count)

    def _line(self, kind: str, serial: int, detail: Term, at_s: float, suppressed: int = 0) -> bytes:
        """JSON escapes control characters, so a record is a line whatever it quotes. ``time`` is for people, ``at_s``, the
        monotonic clock, for differences.
        """
        record = {
            "time": clock.utc_text(at_s + clock.wall_offset_s()), "at_s": round(at_s, 6), "kind": kind, "serial": serial,
            "detail": detail, "dropped": self._untold,
        }  # fmt: skip
        if suppressed:
            record["suppressed"] = suppressed
        try:
            line = msgspec.json.encode(record, enc_hook=repr)
        except _ENCODE_ERRORS:
            line = msgspec.json.encode({**record, "detail": "no plain data"})
        if len(line) > _LIMIT_BYTES:
            line = msgspec.json.encode({**record, "detail": "truncated"})
        return line + b"\n"

    def report_seldom(self, kind: str, serial: int, detail: Term = None) -> None:
        """As :meth:`report`, but at most once in SELDOM_S for each kind; the next record tells how many were not written."""
        now = clock.monotonic_s()
        due_s, suppressed = self._seldom.get(kind, (now, 0))
        if now < due_s:
            self._seldom[kind] = (due_s, suppressed + 1)
            return
        self._seldom[kind] = (now + SELDOM_S, 0)
        self.report(kind, serial, detail, suppressed)

    def _write(self, lines: bytes, count: int) -> None:
        data = b"\n" + lines if self._is_torn else lines  # the rest of a line that did not fit on the disk is lost
        try:
            written = self._send(data)
        except OSError:
            written = 0
        if written:
            self._is_torn = written < len(data)
        if written == len(data):
            self._untold = 0
        else:
            self._untold += count
            self.dropped += count

    def _send(self, data: bytes) -> int:
        if self._asks:
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            if not poll.poll(0):
                return 0
        if not self._is_socket:
            return os.write(self._fd, data)
        with socket.socket(fileno=os.dup(self._fd)) as sock:
            return sock.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


_log = Log()
open_stderr = _log.open_stderr
report = _log.report
report_all = _log.report_all
report_seldom = _log.report_seldom


def dropped() -> int:
    """How many records of this process are lost."""
    return _log.dropped
