"""runit: runsvdir and a supervisor process per service.

As its documentation has it (runsvdir(8), runsv(8)): a directory with ``run`` is linked into the scanned one, which is looked
at every second; ``./finish`` is run after a death: here it tells of it. A service that lived for less than a second waits one.
"""

from __future__ import annotations

import signal
import subprocess

from benchmarks.peers.contract import program
from benchmarks.peers.services import Service, ServicePeer, command


class Runit(ServicePeer):
    remarks = {"told": "its ./finish runs", "memory": "of a sleep and its runsv"}

    def version(self) -> str:
        said = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "runit"], capture_output=True, text=True, check=False)
        return said.stdout

    def open(self) -> None:
        runsvdir = program("runsvdir", "runit")
        super().open()
        self.scanned = self.folder / "scanned"
        self.scanned.mkdir()
        self.runsvdir = subprocess.Popen([runsvdir, self.scanned])

    def close(self) -> None:
        self.runsvdir.send_signal(signal.SIGHUP)  # runsvdir(8): send each runsv SIGTERM and exit 111
        self.runsvdir.wait()
        super().close()

    def add(self, service: Service) -> None:
        service.write_scripts(run=service.script, finish=f"echo {service.name} >{self.deaths.path}")
        (self.scanned / service.name).symlink_to(service.folder)

    def remove(self, service: Service) -> None:
        (self.scanned / service.name).unlink()  # else its runsv is started again
        command("sv", "shutdown", service.folder)


PEERS = {"": Runit}
