"""RELIABILITY H3, H6: another Python comes under a running daemon; and the daemon of root."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from actorcore.errors import RequestError
from actorcore.guardian_words import PYTHON
from actorcore.signals import ProcessSpec
from supervisors.daemon import AS_ROOT
from tests.daemon_fixture import WAIT_S, WITNESS, Daemon, await_deaths, desk_of, send_signal, watched

TROUBLE = f"Python is not {PYTHON} any more, as everything that runs is: take the daemon down and start it again"


def replaced_zygote(daemon: Daemon) -> int:
    """The OS pid of the zygote after the one that serves was killed."""
    with watched([daemon.zygote_pid()]) as handles:
        signal.pidfd_send_signal(handles[0], signal.SIGKILL)
        assert await_deaths(handles)
    return daemon.zygote_pid()


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[tuple[Daemon, Path]]:
    """A daemon that runs from an installation of its own, and the program of its Python."""
    real = Path(os.path.realpath(sys.executable))
    python = tmp_path / "python" / "bin" / real.name
    python.parent.mkdir(parents=True)
    shutil.copy(real, python)
    python.parent.with_name("pyvenv.cfg").write_text(f"home = {real.parent}\n")
    daemon = Daemon(tmp_path / "run", module="tests.fault.poolless")
    daemon.command[0] = str(python)
    packages = Path(msgspec.__file__).parents[1]
    daemon.environment["PYTHONPATH"] += f":{packages}"
    daemon.environment["LD_LIBRARY_PATH"] = f"{real.parents[1]}/lib"
    with daemon:
        daemon.bystanders()
        yield daemon, python


@pytest.mark.parametrize("then", ["another program", "nothing"])
def test_H3_where_python_is_replaced_under_the_daemon_whoever_is_born_later_has_the_old_one(
    installed: tuple[Daemon, Path], then: str
) -> None:
    daemon, python = installed
    with desk_of(daemon) as desk:
        first = desk.start("first")
        old = os.stat(f"/proc/{first}/exe").st_ino
        python.unlink()
        if then == "another program":
            python.write_text("#!/bin/sh\nexit 3\n")
            python.chmod(0o755)
        zygote = replaced_zygote(daemon)
        second = desk.start("second")
        alone = desk.client.spawn_spec(ProcessSpec(WITNESS, isolation="exec"))
        assert desk.client.node("reload", WAIT_S)["generation"] == 2
        third = desk.start("third")
        (own,) = [int(str(row["os_pid"])) for row in desk.client.processes() if row["serial"] == alone.serial]
        assert {os.stat(f"/proc/{os_pid}/exe").st_ino for os_pid in (zygote, second, own, third)} == {old}
        desk.client.stop(alone)
        assert desk.client.node("status", WAIT_S)["python"] == PYTHON


OTHER = """
import collections, os, sys
if os.path.exists({flag!r}) and "actorcore.runtime.zygote.zygote" in sys.orig_argv:
    names = "major minor micro releaselevel serial"
    sys.version_info = collections.namedtuple("version_info", names)(*sys.version_info[:2], 99, "final", 0)
"""
"""A sitecustomize, which is imported first: as where libpython, which is no part of the program, was replaced by a later one."""


def test_H3_a_process_that_would_be_of_another_python_is_refused_in_words_and_those_that_run_go_on(tmp_path: Path) -> None:
    flag = tmp_path / "upgraded"
    (tmp_path / "sitecustomize.py").write_text(OTHER.format(flag=str(flag)))
    daemon = Daemon(tmp_path / "run", module="tests.fault.poolless")
    daemon.environment["PYTHONPATH"] = f"{tmp_path}:{daemon.environment['PYTHONPATH']}"
    with daemon:
        daemon.bystanders()
        with desk_of(daemon) as desk:
            flag.touch()
            with watched([daemon.zygote_pid()]) as handles:
                signal.pidfd_send_signal(handles[0], signal.SIGKILL)
                assert await_deaths(handles)
            with pytest.raises(RequestError) as refused:
                desk.client.spawn(WITNESS)
            assert (refused.value.code, refused.value.detail) == ("invalid_spec", f"template 'lean': {TROUBLE}")
            assert desk.client.call("ada", ["state", None], WAIT_S) == desk.before["ada"]
            with pytest.raises(RequestError, match="Python is not"):
                desk.client.spawn_spec(ProcessSpec(WITNESS, isolation="exec"))
            flag.unlink()
            desk.client.node("reload", WAIT_S)
            desk.client.stop(desk.client.spawn(WITNESS))


def test_H6_a_daemon_of_root_says_once_that_it_is_one_and_runs(own: Daemon) -> None:
    """And that of anybody else says nothing."""
    with desk_of(own) as desk:
        victim, node = desk.start("victim"), desk.node_os_pid()
        with watched([node]) as handles:
            send_signal(node, signal.SIGKILL)
            assert await_deaths(handles)
        assert desk.client.node("reload", WAIT_S)["generation"] == 3
        assert desk.client.call("victim", ["state", None], WAIT_S) == [victim, 0]
        records = [json.loads(line) for line in own.log.read_text().splitlines()]
        warnings = [record["detail"] for record in records if record["kind"] == "warning"]
        assert warnings == [AS_ROOT] * (os.geteuid() == 0)
