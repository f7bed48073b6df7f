"""tmux: a detached session for each program.

As tmux(1) has it: ``new-session -d`` starts one, the hook ``session-closed`` runs a command after the death
of its program. Nothing restarts it.
"""

from __future__ import annotations

import subprocess

from benchmarks.peers.contract import program
from benchmarks.peers.services import NO_MESSAGES, Service, ServicePeer


class Tmux(ServicePeer):
    lacks = {**NO_MESSAGES, **dict.fromkeys(("replaced", "storm"), "restarts nothing")}
    settle_s = 0.02
    remarks = {"told": "the hook session-closed", "memory": "of a sleep and its pane"}

    def version(self) -> str:
        return subprocess.run([self.tmux, "-V"], capture_output=True, text=True, check=True).stdout.split()[-1]

    def open(self) -> None:
        self.tmux = program("tmux", "tmux")
        super().open()
        self.do("new-session", "-d", "-s", "first", "exec sleep 2147483647")
        self.do("set-hook", "-g", "session-closed", f"run-shell 'echo #{{hook_session_name}} >{self.deaths.path}'")

    def do(self, *words: str) -> None:
        subprocess.run([self.tmux, "-S", self.folder / "socket", "-f", "/dev/null", *words], check=True)

    def close(self) -> None:
        self.do("kill-server")
        super().close()

    def add(self, service: Service) -> None:
        self.do("new-session", "-d", "-s", service.name, service.script)

    def remove(self, service: Service) -> None:
        subprocess.run([self.tmux, "-S", self.folder / "socket", "kill-session", "-t", f"={service.name}"],
                       stderr=subprocess.DEVNULL, check=False)  # fmt: skip


PEERS = {"": Tmux}
