"""The runtime directory is ours alone, or nothing is done (RELIABILITY S1, F14', F15')."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorcore.errors import RequestError
from supervisors import paths


def refusal(directory: Path) -> str:
    """The text with which the directory is refused, with its name taken out."""
    with pytest.raises(RequestError) as caught:
        paths.prepare_directory(directory)
    assert caught.value.code == "not_permitted"
    return caught.value.detail.replace(str(directory), "DIR")


def test_the_variable_of_ours_wins_over_the_runtime_directory() -> None:
    environment = {"ACTORCORE_DIR": "/a", "XDG_RUNTIME_DIR": "/run/user/7"}
    assert paths.default_directory(environment) == Path("/a")


def test_the_runtime_directory_of_the_login_comes_next() -> None:
    assert paths.default_directory({"XDG_RUNTIME_DIR": "/run/user/7"}) == Path("/run/user/7/actorcore")


def test_without_both_it_is_the_users_state_directory_and_never_tmp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/home/u/state")
    assert paths.default_directory({}) == Path("/home/u/state/actorcore/run")


def test_a_relative_directory_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        paths.default_directory({"ACTORCORE_DIR": "here"})
    assert str(caught.value) == "invalid_spec: ACTORCORE_DIR is not an absolute path"


def test_a_missing_directory_is_made_with_mode_0700_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = paths.prepare_directory(tmp_path / "new" / "run")
    finally:
        os.umask(before)
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o755, 0o770, 0o701, 0o500])
def test_any_other_mode_is_refused_and_left_as_it_is(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    directory.chmod(mode)
    assert refusal(directory) == f"runtime directory DIR has mode {mode:04o}, not 0700"
    assert stat.S_IMODE(directory.stat().st_mode) == mode


def test_a_symbolic_link_to_a_good_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "good")
    assert refusal(tmp_path / "link") == "runtime directory DIR is a symbolic link"


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").touch(mode=0o700)
    assert refusal(tmp_path / "run") == "runtime directory DIR is not a directory"
    assert refusal(tmp_path / "run" / "below") == "runtime directory DIR cannot be made: File exists"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    os.chown(directory, 65534, 65534)
    assert refusal(directory) == "runtime directory DIR belongs to uid 65534, not to 0"


def test_a_missing_directory_cannot_be_checked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        paths.check_directory(tmp_path / "none")


@pytest.fixture(params=[10, 200], ids=["short", "longer than sun_path"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, socket.socket]]:
    directory = paths.prepare_directory(tmp_path / ("d" * request.param))
    with socket.socket(socket.AF_UNIX) as listener:
        with paths.socket_address(directory) as address:
            listener.bind(address)
        listener.listen(1)
        yield directory, listener


def test_a_socket_is_reached_whatever_the_length_of_its_path(listening: tuple[Path, socket.socket]) -> None:
    directory, listener = listening
    with paths.dial(directory, 5.0) as client:
        server, _ = listener.accept()
        with server:
            server.sendall(b"hello")
            client.setblocking(True)
            assert client.recv(5) == b"hello"


def test_a_full_backlog_ends_with_the_deadline(listening: tuple[Path, socket.socket]) -> None:
    directory, _ = listening
    waiting = [paths.dial(directory, 5.0) for _ in range(2)]  # listen(1) holds two
    try:
        with pytest.raises(BlockingIOError):
            paths.dial(directory, 0.01)
    finally:
        for sock in waiting:
            sock.close()


def test_no_daemon_is_a_refused_connection(tmp_path: Path) -> None:
    directory = paths.prepare_directory(tmp_path / "run")
    with socket.socket(socket.AF_UNIX) as listener, paths.socket_address(directory) as address:
        listener.bind(address)
    with pytest.raises(ConnectionRefusedError):
        paths.dial(directory, 5.0)
