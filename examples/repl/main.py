"""Drive the prompt from here, another process: ``python main.py FOLDER``. Kill it, hang it: what it knows survives."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from repl import Run

from actorcore.errors import CallFailed
from supervisors.client import Client
from supervisors.session.record import Policy
from supervisors.session.requests import GetMessages


def main(folder: Path) -> None:
    folder.mkdir(parents=True)
    # A statement that takes longer than this is at fault: the process is killed, and replaced by one that knows the others.
    policy = Policy(path=str(Path(__file__).parent), busy_timeout_s=2.0, when_hung="kill")
    with Client.connect() as client:
        prompt = str(client.manager.create(folder, module="repl:Repl", policy=policy)["id"])
        for source in ("x = 6", "def double(n):\n    return 2 * n\n", "double(x)", "1 / 0", "import os"):
            print(">>>", source.strip())
            print(client.call(prompt, Run(source)), end="")

        with client.manager.subscribe(prompt, types=["session_restarted"]) as restarts:
            print("--- kill -9")
            client.kill(prompt, signal.SIGKILL)
            restarts.next(30.0)
            print(">>> double(x) + 1")
            print(client.call(prompt, Run("double(x) + 1")), end="")

            print("--- an endless loop")
            try:
                client.call(prompt, Run("while True: pass"), 30.0)
            except CallFailed as error:
                print("the prompt is dead:", error.reason)
            restarts.next(30.0)
            print(">>> double(x) + 2")
            print(client.call(prompt, Run("double(x) + 2")), end="")
        print(len(client.call(prompt, GetMessages())["items"]), "messages are kept")
        client.manager.stop(prompt)


if __name__ == "__main__":
    if len(sys.argv) != 2 or Path(sys.argv[1]).exists():
        sys.exit("usage: python main.py FOLDER, which is made")
    main(Path(sys.argv[1]))
