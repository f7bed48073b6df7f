"""RELIABILITY C13, C15: the kernel kills for want of memory, in a real memory cgroup. C16: memory that is shared is sealed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorcore.registry_layout import registry_bytes
from actorcore.signals import ProcessSpec
from supervisors.daemon import LEDGER_BYTES, STATUS_PAGES
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import ROOT, WAIT_S, Daemon, Desk, desk_of
from tests.memory_cgroup import memory_cgroup, within

MIB = 1 << 20
ENOUGH_BYTES = 448 * MIB
"""The daemon's shared memory is a third of it."""
GLUTTON = "tests.fault.hogs:Glutton"


@pytest.fixture(params=["supervisors.daemon", "tests.fault.unlogged"], ids=["by the kernel's log", "by the cgroup's count"])
def cramped(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that lives in such a cgroup with all that is its own."""
    with memory_cgroup(ENOUGH_BYTES) as cgroup:
        daemon = Daemon(tmp_path / "run", module=request.param)
        daemon.command = within(cgroup, daemon.command)
        with daemon:
            daemon.bystanders()
            yield daemon


def start_glutton(desk: Desk) -> int:
    """Session ``glutton``; its OS pid."""
    desk.started.append("glutton")
    spec = ProcessSpec(GLUTTON, [desk.name], name="glutton")
    desk.client.start_session(ChildSpec("glutton", spec, restart="transient", backoff_step_s=0.0, backoff_max_s=0.0))
    return desk.await_up("glutton")


def test_C13_a_session_that_the_kernel_kills_for_want_of_memory_is_told_so_and_the_others_and_the_daemon_live(
    cramped: Daemon,
) -> None:
    with desk_of(cramped) as desk:
        node, first = desk.node_os_pid(), start_glutton(desk)
        ref = desk.client.monitor("glutton")
        desk.client.cast("glutton", ["devour", None])
        assert desk.client.wait_down(ref, WAIT_S).reason == {"killed": "oom"}
        second = desk.await_up("glutton")
        assert second != first
        assert (desk.row("glutton")["restarts"], desk.node_os_pid()) == (1, node)
        assert desk.signal("glutton", second, signal.SIGKILL).reason == "killed", "a later kill is its killer's"
        desk.await_up("glutton")


VANDAL = "tests.fault.vandals:Vandal"
SEALED = dict.fromkeys(("truncate", "grow", "unseal", "write", "map"), "EPERM")


def test_C16_a_session_can_neither_truncate_nor_write_what_the_daemon_shares_with_it(desk: Desk) -> None:
    """It maps names to read, and one page of its own to write; a root that opens the guardian's descriptors finds the seals."""
    pid = desk.client.spawn(VANDAL)
    assert desk.client.call(pid, ["lookup", "ada"]) is not None
    assert desk.client.call(pid, ["mappings", None]) == [["registry", "r--s", 0], ["status", "rw-s", 1]]
    assert desk.client.call(pid, ["protect", None]) == "EACCES"
    kept = {"registry": SEALED, "status": {name: SEALED[name] for name in ("truncate", "grow", "unseal")}}
    assert desk.client.call(pid, ["spoil", desk.daemon.guardian_pid]) == (kept if os.geteuid() == 0 else "EACCES")
    assert desk.client.call(pid, ["lookup", "ada"]) is not None
    ref = desk.client.monitor(pid)
    desk.client.exit(pid, "kill")
    assert desk.client.wait_down(ref, WAIT_S).reason == "killed"


SHARED = {"registry": registry_bytes(), "ledger": LEDGER_BYTES, "status": STATUS_PAGES * 4096}
"""The daemon's shared memory, in the order in which it is made."""


@pytest.mark.parametrize(("limit_bytes", "what"), [(32 * MIB, "registry"), (90 * MIB, "ledger"), (130 * MIB, "status")])
def test_C15_a_daemon_in_a_cgroup_too_small_for_its_shared_memory_says_so_in_a_line_and_ends(
    tmp_path: Path, limit_bytes: int, what: str
) -> None:
    run = tmp_path / "run"
    argv = [sys.executable, "-m", "supervisors.daemon", "--dir", str(run)]
    with memory_cgroup(limit_bytes) as cgroup:
        done = subprocess.run(within(cgroup, argv), cwd=ROOT, capture_output=True, text=True, check=False)
    said = f"error: resource_exhausted: memfd actorcore-{what} of {SHARED[what]} bytes: Cannot allocate memory\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
    assert not (run / "actorcore.sock").exists()
