"""What each fault test is sure of: the fixture that looks after the others sees what became of them."""

from __future__ import annotations

import signal

import pytest

from tests.daemon_fixture import WAIT_S, Daemon, desk_of


def test_acceptance_196_a_test_that_harms_another_fails_though_it_says_nothing_of_it(own: Daemon) -> None:
    with pytest.raises(AssertionError), desk_of(own) as desk:
        ref = desk.client.monitor("ada")
        desk.client.kill("ada", signal.SIGKILL)
        assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
        assert desk.client.restart_session("ada")["state"] == "active"  # another OS pid, under the same name
    with pytest.raises(AssertionError), desk_of(own) as desk:
        desk.client.call("ada", ["add", 1])
    with desk_of(own):
        pass
