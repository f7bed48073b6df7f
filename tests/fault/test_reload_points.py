"""RELIABILITY B15: old and new node are killed at every pass of every point of a reload; it is done, and one serves, once.

The only death that refuses a reload is that of the new node before it serves: test_reload.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.daemon_fixture import WAIT_S, Daemon, descriptors_beyond, desk_of
from tests.fault.test_birth_points import Armed

POINTS = ("node.flushed", "reload.yielded")
MAX_NTH = 12
"""The old node passes both before the new one is ready or has taken over, the new one the first only when it serves."""


@pytest.mark.timeout(150)
def test_B15_both_nodes_are_killed_at_every_pass_of_a_reload(tmp_path: Path) -> None:
    plan = tmp_path / "plan"
    plan.write_text("")
    with Daemon(tmp_path / "run", options=["--faults", str(plan)]) as daemon:
        daemon.bystanders()
        armed = Armed(daemon, plan)
        with desk_of(daemon) as desk:
            victim = desk.start("victim")
            before = descriptors_beyond(desk)
            armed.arm()
            desk.client.node("reload", WAIT_S)
            passes = {name: min(MAX_NTH, armed.passed().count(name)) for name in POINTS}
            assert passes["reload.yielded"] == 1
            for point, nth in [(name, nth) for name, count in passes.items() for nth in range(1, count + 1)]:
                armed.arm(f"{point}:{nth}:kill")
                generation = desk.client.node("status", WAIT_S)["generation"]
                assert desk.client.node("reload", WAIT_S)["generation"] > generation, (point, nth)  # type: ignore[operator]
                armed.arm()
                assert desk.client.call("victim", ["state", None], WAIT_S) == [victim, 0], (point, nth)
                assert descriptors_beyond(desk) == before, (point, nth)
