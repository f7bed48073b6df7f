"""D3: a client in a time namespace of its own, as far from the daemon's monotonic clock as it is told.

Run by tests/fault/test_time.py; the last line that it prints is its verdict.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from actorcore.errors import CallTimeout
from actorcore.runtime import clock
from supervisors.client import Client
from supervisors.session.record import Policy
from supervisors.session.requests import GetMessages, SendMessage
from tests.daemon_fixture import WAIT_S, send_signal

SHORT_S = 0.3


def main(directory: Path, project: str) -> str:
    """One session's whole life, and a wait of SHORT_S that ends when it should."""
    with Client.connect(directory, WAIT_S) as client:
        policy = Policy(backoff_initial_s=0.05, idle_timeout_s=3600.0, busy_timeout_s=60.0)
        row = client.manager.create(project, policy=policy)
        id = str(row["id"])
        with client.manager.subscribe(id) as events:
            client.call(id, SendMessage("user", "hello"), WAIT_S)
            ref = client.monitor(id)
            os_pid = next(one["os_pid"] for one in client.processes() if one["serial"] == row["serial"])
            send_signal(int(str(os_pid)), signal.SIGKILL)
            reason = client.wait_down(ref, WAIT_S).reason
            while (event := events.next(WAIT_S)).type != "session_restarted":
                pass
        began_s = clock.monotonic_s()
        try:
            client.receive(SHORT_S)
        except CallTimeout:
            waited_s = clock.monotonic_s() - began_s
        page = client.call(id, GetMessages(), WAIT_S)
        texts = [message["content"] for message in page["items"]]  # type: ignore[index, union-attr, call-overload]
        told_s = float(str(event.data["duration_s"]))
        client.manager.stop(id)
        client.manager.resume(id)
        client.manager.stop(id)
        is_true = SHORT_S <= waited_s < WAIT_S and 0.05 <= told_s < WAIT_S and abs(event.at - clock.wall_s()) < WAIT_S
        return f"{reason} {texts} {is_true}"


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2]))
