"""An actor that writes down when it begins and when it ends."""

from __future__ import annotations

from actorcore.exit_reason import Reason
from actorcore.gen_server import GenServer, InitResult


class Diarist(GenServer):
    """Lines of the file ``log``: ``+name`` at its init, ``-name`` at its terminate."""

    def init(self, *args: object) -> InitResult:
        log, name = args
        self.log, self.name = str(log), str(name)
        self.write("+")
        return None

    def terminate(self, reason: Reason) -> None:
        self.write("-")

    def write(self, sign: str) -> None:
        with open(self.log, "a") as log:
            log.write(f"{sign}{self.name}\n")
