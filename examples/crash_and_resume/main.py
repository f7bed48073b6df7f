"""What a conversation survives: ``python main.py FOLDER``, with a daemon of its own that is started and killed here.

A message is on disk before it is acknowledged. So whatever dies, the session's process, the node that supervises it, or the
whole daemon, what was acknowledged is there afterwards, in the same order, under the same id.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from supervisors.client import Client
from supervisors.private_daemon import private_daemon
from supervisors.session.requests import GetMessages, SendMessage


def say(client: Client, session: str, text: str) -> None:
    client.call(session, SendMessage("user", text), 30.0)
    page = client.call(session, GetMessages(), 30.0)
    print("  ", [message["content"] for message in page["items"]])


def main(folder: Path) -> None:
    project = folder / "project"
    project.mkdir(parents=True)
    with private_daemon(folder / "run") as daemon, daemon.connect() as client:
        session = str(client.manager.create(project)["id"])
        say(client, session, "hello")

        print("kill -9 of the session's process: its supervisor starts another one")
        with client.manager.subscribe(types=["session_restarted"]) as restarts:
            client.kill(session, signal.SIGKILL)
            restarts.next(30.0)
        say(client, session, "still there?")

        print("kill -9 of the node: another one goes on, the session has not noticed")
        before = client.whereis(session)
        node = os.pidfd_open(client.node("status")["node_os_pid"])
        signal.pidfd_send_signal(node, signal.SIGKILL)
        os.close(node)
        say(client, session, "and now?")
        assert client.whereis(session) == before

        print("kill -9 of the daemon: everything below it ends, the next one resumes what was alive")
        daemon.process.kill()

    with private_daemon(folder / "run") as daemon, daemon.connect() as client:
        with client.manager.subscribe(types=["session_resumed"], after=0) as resumed:
            assert resumed.next(30.0).session == session
        say(client, session, "good morning")

        print("an orderly stop, and a resume by hand")
        client.manager.stop(session)
        client.manager.resume(session)
        say(client, session, "goodbye")
        client.manager.stop(session)
    print("the daemon ended with status", daemon.process.returncode)


if __name__ == "__main__":
    if len(sys.argv) != 2 or Path(sys.argv[1]).exists():
        sys.exit("usage: python main.py FOLDER, which is made")
    main(Path(sys.argv[1]))
