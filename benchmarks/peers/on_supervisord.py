"""supervisord: programs in groups, added while it runs, and an event listener.

As its manual has it: a section in an included file, then ``supervisorctl update`` — here its XML-RPC interface, which that
command uses, without a new Python for each command; PROCESS_STATE_EXITED to an event listener tells of a death.
"""

from __future__ import annotations

import importlib.metadata
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from benchmarks.peers.contract import pause
from benchmarks.peers.services import Service, ServicePeer

LISTENER = """
import sys
from supervisor import childutils
while True:
    headers, payload = childutils.listener.wait()
    with open(sys.argv[1], "w") as told:
        told.write(childutils.get_headers(payload)["processname"] + "\\n")
    childutils.listener.ok()
"""
CONFIGURATION = """
[supervisord]
nodaemon = true
logfile = {folder}/log
pidfile = {folder}/pid
childlogdir = {folder}
[unix_http_server]
file = {folder}/socket
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[include]
files = {folder}/*.program
[eventlistener:deaths]
command = {python} {folder}/listener.py {deaths}
events = PROCESS_STATE_EXITED
"""
PROGRAM = """
[program:{name}]
command = /bin/sh {folder}/run
autorestart = true
"""


class OverUnixSocket(SupervisorTransport):
    """As supervisorctl connects."""

    def __init__(self, path: Path) -> None:
        super().__init__(None, None, f"unix://{path}")


class Supervisord(ServicePeer):
    remarks = {"told": "an event listener", "memory": "of a sleep"}

    def version(self) -> str:
        return importlib.metadata.version("supervisor")

    def open(self) -> None:
        super().open()
        (self.folder / "listener.py").write_text(LISTENER)
        texts = {"folder": self.folder, "python": sys.executable, "deaths": self.deaths.path}
        (self.folder / "configuration").write_text(CONFIGURATION.format(**texts))
        argv = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.folder / "configuration")]
        self.supervisord = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        path = self.folder / "socket"
        while not is_listening(path):
            assert self.supervisord.poll() is None, "supervisord ended"
            pause(0.01)
        self.control: Any = ServerProxy("http://127.0.0.1", transport=OverUnixSocket(path)).supervisor

    def close(self) -> None:
        self.control.shutdown()
        self.supervisord.wait()
        super().close()

    def add(self, service: Service) -> None:
        service.write_scripts(run=service.script)
        (self.folder / f"{service.name}.program").write_text(PROGRAM.format(name=service.name, folder=service.folder))
        self.control.reloadConfig()
        self.control.addProcessGroup(service.name)

    def remove(self, service: Service) -> None:
        self.control.stopProcessGroup(service.name)
        self.control.removeProcessGroup(service.name)
        (self.folder / f"{service.name}.program").unlink()


def is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


PEERS = {"": Supervisord}
