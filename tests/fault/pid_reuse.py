"""D4 in a pid namespace of its own: the kernel is told which number to give next, so that a dead one's comes again.

Run by tests/fault/test_names.py as the first process of the namespace; the last line that it prints is its verdict.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from actorcore.errors import CallFailed
from actorcore.signals import ProcessSpec
from supervisors.client import Client
from tests.daemon_fixture import WAIT_S, Daemon, desk_of, send_signal, starttime

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
ATTEMPTS = 100
WITNESS = "tests.fault.actors:Witness"


def os_pid_of(client: Client, serial: int) -> int:
    [os_pid] = [row["os_pid"] for row in client.processes() if row["serial"] == serial]
    assert isinstance(os_pid, int)
    return os_pid


def main(directory: Path) -> str:
    with Daemon(directory / "run", module="tests.fault.poolless") as daemon:
        daemon.bystanders()
        with desk_of(daemon) as desk:
            client = desk.client
            dead = client.spawn_spec(ProcessSpec(WITNESS, name="victim"))
            os_pid = os_pid_of(client, dead.serial)
            assert client.call("ada", ["lookup", "victim"]) == dead.serial  # now in ada's cache
            ref = client.monitor(dead)
            send_signal(os_pid, signal.SIGKILL)
            assert client.wait_down(ref, WAIT_S).reason == "killed"
            for _ in range(ATTEMPTS):
                if starttime(os_pid) == 0:
                    LAST_PID.write_text(str(os_pid - 1))
                stranger = client.spawn_spec(ProcessSpec(WITNESS, name="stranger"))
                if os_pid_of(client, stranger.serial) == os_pid:
                    break
                ref = client.monitor(stranger)
                client.exit(stranger, "kill")
                client.wait_down(ref, WAIT_S)
            else:
                return "the number did not come again"
            assert [client.call("ada", [verb, "victim"]) for verb in ("lookup", "lookup_value")] == [None, None]
            assert client.whereis("victim") is None
            assert client.call("ada", ["lookup", "stranger"]) == stranger.serial != dead.serial
            assert client.wait_down(client.monitor(dead), WAIT_S).reason == "noproc"
            client.exit(dead, "kill")
            try:
                client.kill(dead, signal.SIGKILL)
                return "a signal to the dead went somewhere"
            except CallFailed:
                pass
            assert client.call(stranger, ["state", None]) == [os_pid, 0]
            client.exit(stranger, "kill")
    return "reused"


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
