"""The operations of the vectors with tasks (FORMAT.md §4), by whoever owns them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actorcore.errors import CallFailed, CallTimeout, RequestError
from actorcore.pids import Pid
from actorcore.runtime.actor.tasks import Tasks
from actorcore.task import Outcome, Task, TaskExit, TaskValue
from tests.otp.scene import ROOT, told, why_of

if TYPE_CHECKING:
    from tests.otp.actors import Operations

SCRIPT = "tests.otp.actors:run_script"
TICKS = 200
"""Elixir's default timeout of 5 s, by the recorder's tick."""


class TaskOperations:
    """Those of one actor."""

    def __init__(self, actor: Operations) -> None:
        self._actor = actor
        self._imports = {"path": ROOT, "template": actor.scene.template}
        self._tasks: dict[str, tuple[Tasks, Task]] = {}

    def execute(self, op: dict[str, Any]) -> Any:
        try:
            match op["op"]:
                case "task":
                    return self._start(op)
                case "task_stream":
                    return self._stream(op)
            tasks, task = self._tasks[op["task"]]
            match op["op"]:
                case "task_await":
                    return {"ok": tasks.await_(task, self._timeout_s(op))}
                case "task_yield":
                    return result(tasks.yield_(task, self._timeout_s(op)))
                case "task_shutdown":
                    grace = op["timeout"]
                    return result(tasks.shutdown(task, grace if isinstance(grace, str) else grace * self._actor.scene.tick_s))
        except (CallFailed, CallTimeout) as error:
            if not op.get("catch", True):
                raise
            return {"exit": why_of(error)}
        raise NotImplementedError(op)

    def _timeout_s(self, op: dict[str, Any]) -> float:
        return float(op.get("timeout", TICKS) * self._actor.scene.tick_s)

    def _supervisor(self, op: dict[str, Any]) -> Tasks:
        supervisor = self._actor.resolve(op["sup"])
        assert supervisor is not None
        return Tasks(self._actor.process, supervisor)

    def _start(self, op: dict[str, Any]) -> Any:
        scene, tasks, args = self._actor.scene, self._supervisor(op), [{"as": op["as"], "script": op["script"]}]
        args.append(scene.token)
        pid: Pid | None
        try:
            match op["mode"]:
                case "start_child":
                    pid = tasks.start_child(SCRIPT, args, restart=op.get("restart", "temporary"), **self._imports)
                    assert pid is not None
                    return {"ok": scene.introduce(pid.serial, op["as"])}
                case "async":
                    task = tasks.async_(SCRIPT, args, **self._imports)
                case "async_nolink":
                    task = tasks.async_nolink(SCRIPT, args, **self._imports)
        except RequestError as error:
            return {"error": error.code} if op["mode"] == "start_child" else {"raise": "error"}
        self._tasks[op["as"]] = tasks, task
        self._actor.refs[task.ref] = (op["as"], "")
        scene.introduce(task.pid.serial, op["as"])
        return "ok"

    def _stream(self, op: dict[str, Any]) -> Any:
        stream = self._supervisor(op).async_stream(
            SCRIPT, op["inputs"], [self._actor.scene.token], max_concurrency=op["max_concurrency"],
            timeout_s=self._timeout_s(op), on_timeout=op.get("on_timeout", "exit"), ordered=op.get("ordered", True),
            link=op.get("linked", False), **self._imports,
        )  # fmt: skip
        results = [result(outcome) for outcome in stream]
        return results if op.get("ordered", True) else sorted(results, key=str)


def result(outcome: Outcome | None) -> Any:
    match outcome:
        case TaskValue(value):
            return {"ok": value}
        case TaskExit(reason):
            return {"exit": told(reason)}
    return None
