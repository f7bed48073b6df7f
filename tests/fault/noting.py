"""The daemon whose node notes in the file ``$NOTES`` whom it sends an exit signal, in the order in which the frames leave."""

from __future__ import annotations

import os
import sys

from actorcore.runtime.node.performer import Handle, Performer
from actorcore.signals import Exit
from supervisors import daemon

send_outbox = Performer._send_outbox


def noted(self: Performer, handle: Handle) -> bool:
    if any(isinstance(frame.body, Exit) for frame in handle.outbox):
        (serial,) = [serial for serial, one in self.handles.items() if one is handle]
        with open(os.environ["NOTES"], "a") as notes:
            print(serial, file=notes)
    return send_outbox(self, handle)


if __name__ == "__main__":
    Performer._send_outbox = noted  # type: ignore[method-assign]
    sys.exit(daemon.main())
