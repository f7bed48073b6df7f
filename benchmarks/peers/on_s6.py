"""s6: s6-svscan and a supervisor process per service.

As its documentation has it ("servicedir", "s6-svlink", "s6-svwait"): a directory with ``run`` is linked into the scanned
one; the service says that it is ready (``notification-fd``), without which each restart waits a second; ``s6-svwait -d`` ends
when it is down. A service that lived for less than a second waits all the same.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from benchmarks.peers.contract import program
from benchmarks.peers.services import Service, ServicePeer, command


class S6(ServicePeer):
    remarks = {"told": "s6-svwait ends", "memory": "of a sleep and its s6-supervise"}

    def version(self) -> str:
        said = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "s6"], capture_output=True, text=True, check=False)
        return said.stdout

    def open(self) -> None:
        svscan = program("s6-svscan", "s6")
        super().open()
        self.scanned = self.folder / "scanned"
        self.scanned.mkdir()
        self.svscan = subprocess.Popen([svscan, self.scanned])

    def close(self) -> None:
        command("s6-svscanctl", "-t", self.scanned)
        self.svscan.wait()
        super().close()

    def add(self, service: Service) -> None:
        service.write_scripts(run=f"echo >&3; {service.script}")
        (service.folder / "notification-fd").write_text("3\n")
        command("s6-svlink", self.scanned, service.folder)

    def watch(self, actor: Service) -> Callable[[], object]:
        waiting = subprocess.Popen(["s6-svwait", "-d", actor.folder])
        return waiting.wait

    def remove(self, service: Service) -> None:
        command("s6-svunlink", self.scanned, service.name)


PEERS = {"": S6}
