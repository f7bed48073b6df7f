"""A session that works on a project: a model that says what to do next, and tools that do it.

The model here is scripted, so that the example needs no network; what it sees and what it may answer is what a real one does.
"""

from __future__ import annotations

import re
import subprocess
from typing import Any

from supervisors.session.records import Message
from supervisors.session.requests import SendMessage, SetTodos
from supervisors.session.server import SessionServer

MAX_STEPS = 20
MAX_OUTPUT = 8000


def run(session: CodingAgent, command: list[str]) -> dict[str, Any]:
    """A real command in the project's folder."""
    done = subprocess.run(command, cwd=session.project, capture_output=True, text=True, timeout=60, check=False)
    return {"exit": done.returncode, "output": (done.stdout + done.stderr)[-MAX_OUTPUT:]}


def read_file(session: CodingAgent, path: str) -> str:
    return session.files.read_bytes(path).decode()


def write_file(session: CodingAgent, path: str, content: str) -> bool:
    session.files.write(path, content.encode())
    return True


class CodingAgent(SessionServer):
    """``handle_message`` asks the model until it has an answer. Every step is remembered before it is told."""

    tools = {"run": run, "read_file": read_file, "write_file": write_file}

    def opened(self, is_restored: bool) -> None:
        self.project = str(self.state.session["project"]["path"])

    def handle_message(self, message: Message) -> None:
        seen: list[tuple[str, Any]] = []
        for _ in range(MAX_STEPS):
            step, arguments = next_step(message.content, seen)
            if step == "say":
                self.tell(SendMessage("assistant", arguments["text"]))
                return
            if step == "plan":
                self.tell(SetTodos(arguments["todos"]))
                seen.append(("plan", None))
                continue
            seen.append((step, self.use_tool(step, **arguments)))
        self.tell(SendMessage("assistant", "I give up."))


def next_step(task: str, seen: list[tuple[str, Any]]) -> tuple[str, dict[str, Any]]:
    """The scripted model: what to do next, given the task and what was done so far with its results."""
    tests = {"command": ["python3", "-B", "-m", "unittest", "-q"]}
    done = [step for step, _ in seen]
    if not seen:
        return "plan", {"todos": [{"content": "run the tests", "status": "in_progress"}, {"content": "mend what fails"}]}
    step, result = seen[-1]
    if step in ("plan", "write_file"):
        return "run", tests
    if step == "run" and result["exit"] == 0:
        return "say", {"text": f"Done ({task}): the tests pass after {done.count('write_file')} change(s)."}
    if step == "run":
        return "read_file", {"path": re.findall(r'File ".*?/(\w+)\.py", line \d+, in (?!test)', result["output"])[-1] + ".py"}
    return "write_file", {"path": "calculator.py", "content": result.replace("a - b", "a + b")}
