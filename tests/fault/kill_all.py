"""Init of a pid namespace of its own: a daemon in it, a session of which kills every process that it may signal.

``unshare --pid --fork --mount-proc python -m tests.fault.kill_all DIRECTORY``: prints what was left, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from actorcore.errors import ActorError
from supervisors.client import Client
from tests.daemon_fixture import Daemon, desk_of


def main(directory: Path) -> int:
    daemon = Daemon(directory)
    daemon.start()
    with Client.connect(directory) as client:
        client.spawn("tests.fault.rude:Shameless", name="shameless")
        with suppress(ActorError):  # Linux spares the caller of kill(-1): it may answer before the guardian's death kills it
            client.call("shameless", None)
    status = daemon.process.wait()
    while True:  # what became ours when the guardian died
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    left = [name for name in os.listdir("/proc") if name.isdigit() and name != str(os.getpid())]
    daemon.start()
    daemon.bystanders()
    with desk_of(daemon) as desk:
        again = sorted(desk.before)
    print(json.dumps({"status": status, "left": left, "again": again, "ended": daemon.stop()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
