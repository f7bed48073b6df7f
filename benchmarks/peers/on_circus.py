"""circus: circusd and a watcher per program, added while it runs.

As its documentation has it ("Commands", "Library"): ``add`` with ``start`` and ``rm`` over its control endpoint; it publishes
``watcher.NAME.reap`` for each death. It looks for deaths every ``check_delay``: 5 s by default, or 10 ms in the variant.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import zmq
from circus.client import CircusClient

from benchmarks.peers.contract import pause
from benchmarks.peers.services import Service, ServicePeer

CONFIGURATION = """
[circus]
endpoint = ipc://{folder}/control
pubsub_endpoint = ipc://{folder}/events
loglevel = ERROR
check_delay = {check_delay_s}
"""


class Circus(ServicePeer):
    check_delay_s = 5.0
    settle_s = 0.1
    remarks = {"told": "published: reap", "memory": "of a sleep"}

    def version(self) -> str:
        return importlib.metadata.version("circus")

    def open(self) -> None:
        super().open()
        text = CONFIGURATION.format(folder=self.folder, check_delay_s=self.check_delay_s)
        (self.folder / "circus.ini").write_text(text)
        self.circusd = subprocess.Popen([sys.executable, "-m", "circus.circusd", self.folder / "circus.ini"])
        self.context = zmq.Context()
        self.events = self.context.socket(zmq.SUB)
        self.events.connect(f"ipc://{self.folder}/events")
        self.client = CircusClient(endpoint=f"ipc://{self.folder}/control", timeout=30.0)
        self.ask("numwatchers")

    def ask(self, command: str, **properties: object) -> Any:
        """Asked again while it is busy: circusd refuses a command during another, and during its own look for deaths."""
        while True:
            answer = self.client.call({"command": command, "properties": properties})
            if answer["status"] == "ok":
                return answer
            assert answer["reason"].startswith("arbiter is already running"), answer
            pause(0.001)

    def close(self) -> None:
        self.ask("quit")
        self.circusd.wait()
        self.client.stop()
        self.events.close(0)
        self.context.term()
        super().close()

    def add(self, service: Service) -> None:
        service.write_scripts(run=service.script)
        self.ask("add", name=service.name, cmd="/bin/sh", args=[str(service.folder / "run")], start=True)

    def remove(self, service: Service) -> None:
        self.ask("rm", name=service.name, waiting=True)

    def watch(self, actor: Service) -> Callable[[], object]:
        topic = f"watcher.{actor.name}.reap".encode()
        self.events.subscribe(topic)

        def await_told() -> None:
            self.events.recv_multipart()
            self.events.unsubscribe(topic)

        return await_told


class QuickCircus(Circus):
    check_delay_s = 0.01


PEERS = {"": Circus, "tuned": QuickCircus}
