"""Clients find names in shared memory: what they get of it, and that nothing else has changed for them."""

from __future__ import annotations

import array
import asyncio
import errno
import os
import signal
import socket
from pathlib import Path

import pytest

from actorcore.errors import CallFailed, CallTimeout
from actorcore.runtime.memory import PAGE_BYTES, map_shared, unmap
from actorcore.runtime.shared_registry import AttachedRegistry
from supervisors.async_client import AsyncClient
from supervisors.client import Client
from tests.daemon_fixture import WAIT_S, Daemon, Desk, desk_of, send_signal
from tests.fault.wire import ANSWERS, dialled, hello
from tests.test_shared_registry import refused

WITNESS = "tests.fault.actors:Witness"


def given(sock: socket.socket) -> int:
    """The one descriptor that comes with the Welcome."""
    sock.sendall(hello())
    data, ancillary, _, _ = sock.recvmsg(1 << 16, socket.CMSG_SPACE(16))
    [(level, kind, rights)] = ancillary
    [fd] = array.array("i", rights)
    assert (level, kind, ANSWERS.decode(data[4:]).registry) == (socket.SOL_SOCKET, socket.SCM_RIGHTS, True)  # type: ignore[union-attr]
    return fd


@pytest.mark.parametrize("reopened", [False, True], ids=["as handed out", "reopened O_RDWR through /proc"])
def test_acceptance_27_S13_a_client_can_read_the_registry_and_nothing_else(desk: Desk, reopened: bool) -> None:
    with dialled(desk) as sock:
        fd = given(sock)
    if reopened:
        fd, first = os.open(f"/proc/self/fd/{fd}", os.O_RDWR), fd
        os.close(first)
    size_bytes = os.fstat(fd).st_size
    assert {
        "map": refused(lambda: unmap(map_shared(fd, PAGE_BYTES, writable=True))),
        "write": refused(lambda: os.write(fd, b"x")),
        "pwrite": refused(lambda: os.pwrite(fd, b"x", 0)),
        "shrink": refused(lambda: os.ftruncate(fd, 0)),
        "grow": refused(lambda: os.ftruncate(fd, size_bytes + PAGE_BYTES)),
    } == {
        "map": errno.EPERM if reopened else errno.EACCES,
        "write": errno.EPERM if reopened else errno.EBADF,
        "pwrite": errno.EPERM if reopened else errno.EBADF,
        "shrink": errno.EPERM if reopened else errno.EINVAL,
        "grow": errno.EPERM if reopened else errno.EINVAL,
    }
    with AttachedRegistry(fd) as reader:
        ada = desk.client.whereis("ada")
        assert ada is not None and reader.lookup("ada") == ada.serial
    os.close(fd)


def test_a_client_calls_by_name_while_the_node_is_stopped(own: Daemon) -> None:
    with desk_of(own) as desk:
        before = desk.client.call("ada", ["state", None])
        node = desk.node_os_pid()
        send_signal(node, signal.SIGSTOP)
        try:
            assert desk.client.call("ada", ["state", None]) == before
            with pytest.raises(CallTimeout):
                desk.client.call("nobody", 1, 0.05)  # that there is none is the node's word
        finally:
            send_signal(node, signal.SIGCONT)


def test_a_name_is_followed_and_the_name_of_the_dead_is_nobody_s(desk: Desk) -> None:
    serials = []
    for _ in range(3):
        pid = desk.client.spawn(WITNESS, name="mover")
        serials.append(pid.serial)
        assert desk.client.call("mover", ["lookup", "mover"]) == pid.serial
        ref = desk.client.monitor(pid)
        desk.client.kill("mover", signal.SIGKILL)
        assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
        for act in (lambda: desk.client.call("mover", 1), lambda: desk.client.send("mover", 1)):
            with pytest.raises(CallFailed) as caught:
                act()
            assert caught.value.reason == "noproc"
        desk.client.cast("mover", 1)  # is no error, as OTP's
    assert len(set(serials)) == 3


def test_a_call_under_way_to_a_name_whose_owner_is_killed_fails_with_its_reason(desk: Desk, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    async def calls() -> object:
        async with await AsyncClient.connect(desk.daemon.directory, WAIT_S) as client:
            pid = await client.spawn(WITNESS, name="hung")
            ref = await client.monitor(pid)
            call = asyncio.ensure_future(client.call("hung", ["wait", str(fifo)], None))
            with await asyncio.to_thread(open, fifo, "wb"):  # waits for its reader, who has the call by then
                await client.kill(pid, signal.SIGKILL)
                await client.wait_down(ref, WAIT_S)
                [outcome] = await asyncio.gather(call, return_exceptions=True)
                return outcome

    outcome = asyncio.run(calls())
    assert isinstance(outcome, CallFailed) and outcome.reason == "killed"


def test_names_live_over_a_takeover_and_end_with_the_daemon(own: Daemon) -> None:
    with desk_of(own) as desk:
        node = desk.node_os_pid()
        send_signal(node, signal.SIGKILL)
        before = desk.client.call("ada", ["state", None])
        pid = desk.client.spawn(WITNESS, name="later")  # the successor writes the memory that we read
        assert desk.client.call("later", ["lookup", "later"]) == pid.serial
        assert (desk.node_os_pid() == node, desk.client.call("ada", ["state", None])) == (False, before)
        desk.client.exit(pid, "kill")
    with Client.connect(own.directory, WAIT_S) as client:
        client.call("ada", ["state", None])
        own.stop()
        for act in (lambda: client.call("ada", 1), lambda: client.cast("ada", 1), lambda: client.whereis("ada")):
            with pytest.raises(CallFailed) as caught:
                act()
            assert caught.value.reason == "noconnection"
