"""RELIABILITY H2: the code file of a session changes, breaks or goes between two lives."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorcore.errors import RequestError
from actorcore.exit_reason import Term
from actorcore.signals import ProcessSpec
from supervisors.client import Client
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import WAIT_S, Desk

CODE = '''
from actorcore.gen_server import GenServer, Reply

class Mine(GenServer):
    def init(self): pass
    def handle_call(self, request, frm): return Reply("{answer}")
'''


@pytest.fixture
def code(desk: Desk, tmp_path: Path) -> Iterator[Path]:
    """The file of session ``mine``, which is restarted at most twice."""
    path = tmp_path / "mine_code.py"
    path.write_text(CODE.format(answer="first"))
    spec = ProcessSpec("mine_code:Mine", name="mine", path=str(tmp_path))
    desk.client.start_session(ChildSpec("mine", spec, "permanent", intensity=2, period_s=60.0, backoff_step_s=0.0))
    yield path
    desk.client.stop_session("mine")


def kill(client: Client) -> None:
    ref = client.monitor("mine")
    client.kill("mine", signal.SIGKILL)
    assert client.wait_down(ref, WAIT_S).reason == "killed"


def test_H2_the_next_life_runs_the_code_that_is_there_then(desk: Desk, code: Path) -> None:
    assert desk.client.call("mine", None, WAIT_S) == "first"
    code.write_text(CODE.format(answer="the second"))
    desk.client.restart_session("mine")
    assert desk.client.call("mine", None, WAIT_S) == "the second"


def await_gave_up(client: Client) -> dict[str, Term]:
    while (row := client.session("mine"))["state"] != "gave_up":
        pass
    return row


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (CODE[:60], "SyntaxError"),
        ("", "AttributeError"),
        (None, "ModuleNotFoundError"),
        ("raise RuntimeError('at import')", "RuntimeError"),
    ],
    ids=["half written", "empty", "gone", "raises"],
)
def test_H2_broken_code_fails_the_restart_within_the_budget_and_is_told(
    desk: Desk, code: Path, text: str | None, error: str
) -> None:
    if text is None:
        code.unlink()
    else:
        code.write_text(text)
    kill(desk.client)
    row = await_gave_up(desk.client)
    reason = row["reason"]
    assert isinstance(reason, dict)
    assert isinstance(reason["error"], dict)
    assert (reason["error"]["type"], row["restarts"], desk.client.whereis("mine")) == (error, 2, None)
    with pytest.raises(RequestError) as caught:
        desk.client.restart_session("mine")
    assert caught.value.code == "start_failed"
    await_gave_up(desk.client)  # it was tried again within a fresh budget
    code.write_text(CODE.format(answer="mended"))
    desk.client.restart_session("mine")
    assert desk.client.call("mine", None, WAIT_S) == "mended"
