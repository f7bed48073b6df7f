"""Have the agent mend a project, and watch it: ``python main.py FOLDER``. Prints what it does and what it has said."""

from __future__ import annotations

import sys
from pathlib import Path

from supervisors.client import Client
from supervisors.session.record import Policy
from supervisors.session.requests import GetMessages, GetToolCalls, SendMessage

PROJECT = {
    "calculator.py": "def add(a, b):\n    if not isinstance(a, int):\n        raise TypeError(a)\n    return check(a - b)\n\n\n"
    "def check(total):\n    assert total == 5, total\n    return total\n",
    "test_calculator.py": "import unittest\nfrom calculator import add\n\n\nclass Test(unittest.TestCase):\n"
    "    def test_add(self):\n        self.assertEqual(add(2, 3), 5)\n",
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, text in PROJECT.items():
        (folder / name).write_text(text)
    policy = Policy(path=str(Path(__file__).parent))
    with Client.connect() as client:
        session = str(client.manager.create(folder, module="agent:CodingAgent", policy=policy)["id"])
        with client.manager.subscribe(session) as events:
            client.call(session, SendMessage("user", "make the tests pass"))
            while event := events.next(30.0):
                print(event.type, *(event.data[key] for key in ("tool_name", "status", "role", "count") if key in event.data))
                if event.type == "conversation_added" and event.data["role"] == "assistant":
                    break
        for message in client.call(session, GetMessages())["items"]:
            print(f"{message['role']}: {message['content']}")
        calls = client.call(session, GetToolCalls())["items"]
        print("commands:", [call["result"]["exit"] for call in calls if call["name"] == "run"])
        client.manager.stop(session)


if __name__ == "__main__":
    if len(sys.argv) != 2 or Path(sys.argv[1]).exists():
        sys.exit("usage: python main.py FOLDER, which is made")
    main(Path(sys.argv[1]))
