"""Processes, lean or in a loop, with direct channels to this one and no daemon; and bare ones over a socketpair, for floors."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

from actorcore import frames
from actorcore.exit_reason import NORMAL, Reason
from actorcore.frames import Downlink
from actorcore.pids import Pid
from actorcore.runtime import sockets
from actorcore.runtime.actor import lean
from actorcore.runtime.actor.async_process import AsyncProcess
from actorcore.runtime.actor.process import Process
from actorcore.runtime.status_page import StatusPage
from actorcore.signals import Begin, Channel, ProcessSpec

PAGE_BYTES = 4096


class Placement:
    """Where the processes of a benchmark run: this one on the first CPU, the others on ``peers``'s; undone at the end."""

    def __init__(self, is_shared: bool) -> None:
        self.before = os.sched_getaffinity(0)
        self.ours = min(self.before)
        self.theirs = self.ours if is_shared else max(self.before)
        self.os_pids: list[int] = []
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> Placement:
        os.sched_setaffinity(0, {self.ours})
        return self

    def __exit__(self, *_: object) -> None:
        for os_pid in self.os_pids:
            os.kill(os_pid, signal.SIGKILL)
            os.waitpid(os_pid, 0)
        for sock in self.sockets:
            sock.close()
        os.sched_setaffinity(0, self.before)

    def bare(self, peer: Callable[[socket.socket], object]) -> socket.socket:
        """One end of a SEQPACKET pair; a child of this process runs ``peer`` with the other end."""
        ours, theirs = sockets.pair()
        for end in (ours, theirs):
            end.setblocking(True)
        if self._fork() == 0:
            try:
                peer(theirs)
            finally:
                os._exit(1)
        theirs.close()
        self.sockets.append(ours)
        return ours

    def lean(self, *starts: str) -> tuple[Process, list[Pid]]:
        """This process as an actor, with a channel to one actor for each of ``starts`` (``module:name``)."""
        control, pids = self._peers(starts)
        process = Process(control, _begin(1, "none"), _page())
        for pid in pids:
            process.call(pid, b"")
        return process, pids

    def in_loop(self, loop: asyncio.AbstractEventLoop, *starts: str) -> tuple[AsyncProcess, list[Pid]]:
        """The same with this process in ``loop``."""
        control, pids = self._peers(starts)
        process = AsyncProcess(control, _begin(1, "none"), _page())
        process.attach(loop.create_task(_for_ever()))
        for pid in pids:
            loop.run_until_complete(process.call(pid, b""))
        return process, pids

    def _peers(self, starts: tuple[str, ...]) -> tuple[socket.socket, list[Pid]]:
        node, control = sockets.pair()
        self.sockets.append(node)
        pids = []
        for serial, start in enumerate(starts, 2):
            ours, theirs = sockets.pair()
            if self._fork() == 0:
                _live(serial, start, theirs)
            theirs.close()
            _introduce(node, serial - 1, serial, ours, opens=True)
            ours.close()
            pids.append(Pid(1, serial))
        return control, pids

    def _fork(self) -> int:
        os_pid = os.fork()
        if os_pid:
            self.os_pids.append(os_pid)
        else:
            os.sched_setaffinity(0, {self.theirs})
        return os_pid


async def _for_ever() -> Reason:
    await asyncio.Event().wait()
    return NORMAL


def _live(serial: int, start: str, channel: socket.socket) -> NoReturn:
    try:
        node, control = sockets.pair()
        _introduce(node, 1, 1, channel, opens=False)
        channel.close()
        _kept.append(node)
        lean.run(control, _begin(serial, start), memoryview(bytearray(PAGE_BYTES)))
    finally:
        os._exit(1)


_kept: list[socket.socket] = []


def _introduce(node: socket.socket, seq: int, peer: int, channel: socket.socket, opens: bool) -> None:
    sockets.send(node, frames.encoder.encode([Downlink(seq, Channel(peer, opens))]), [channel.fileno()])


def _begin(serial: int, start: str) -> Begin:
    return Begin(serial, 1, 0, ProcessSpec(start), 0)


def _page() -> StatusPage:
    return StatusPage(memoryview(bytearray(PAGE_BYTES)))
