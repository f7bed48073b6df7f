"""Ray: an actor each, on one node without a dashboard.

As Ray's documentation has it: ``ray.get(actor.method.remote(…))`` is a call, a reference that nobody gets is fire-and-forget
("Actors"); ``max_restarts`` and ``max_task_retries`` make an actor come back and a call wait for it ("Actor fault
tolerance"). Death is told to nobody: a pending call fails with RayActorError.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayActorError

from benchmarks.peers.contract import BODY, Peer


class Echo:
    def echo(self, body: bytes) -> bytes:
        return body

    def count(self, body: bytes) -> None:
        pass

    def os_pid(self) -> int:
        return os.getpid()

    def hang(self) -> None:
        threading.Event().wait()


class Ray(Peer[Any]):
    remarks = {"told": "a pending call fails", "replaced": "max_restarts, the next call waits", "storm": "max_restarts"}

    def version(self) -> str:
        return str(ray.__version__)

    def open(self) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR", _temp_dir=self.folder.name)
        self.actor_class = ray.remote(Echo)

    def close(self) -> None:
        ray.shutdown()
        self.folder.cleanup()

    def spawn(self) -> Any:
        return self.answering(self.actor_class.remote())

    def answering(self, actor: Any) -> Any:
        ray.get(actor.echo.remote(BODY))
        return actor

    def end(self, actor: Any) -> None:
        ray.kill(actor)

    def calls(self, actor: Any, count: int) -> None:
        for _ in range(count):
            ray.get(actor.echo.remote(BODY))

    def casts(self, actor: Any, count: int) -> None:
        for _ in range(count):
            actor.count.remote(BODY)
        ray.get(actor.echo.remote(BODY))

    def os_pid(self, actor: Any) -> int:
        return int(ray.get(actor.os_pid.remote()))

    def watch(self, actor: Any) -> Callable[[], object]:
        pending = actor.hang.remote()

        def await_told() -> None:
            with contextlib.suppress(RayActorError):
                ray.get(pending)
                raise AssertionError("it hangs for ever")

        return await_told

    def supervise(self) -> Any:
        return self.answering(self.actor_class.options(max_restarts=-1, max_task_retries=-1).remote())

    def spawn_many(self, count: int) -> list[Any]:
        return self.all_answering([self.actor_class.remote() for _ in range(count)])

    def supervise_many(self, count: int) -> list[Any]:
        actor_class = self.actor_class.options(max_restarts=-1, max_task_retries=-1)
        return self.all_answering([actor_class.remote() for _ in range(count)])

    def all_answering(self, actors: list[Any]) -> list[Any]:
        ray.get([actor.echo.remote(BODY) for actor in actors])
        return actors

    def await_replacement(self, actor: Any) -> None:
        ray.get(actor.echo.remote(BODY))

    def await_replacements(self, actors: list[Any]) -> None:
        self.all_answering(actors)


PEERS = {"": Ray}
