"""The actor of test_templates.py."""

from __future__ import annotations

import importlib

from actorcore.gen_server import GenServer, Reply
from actorcore.mailbox import From


class Importer(GenServer):
    """Imports the module that a call names; answers with who loaded it."""

    def handle_call(self, request: object, frm: From) -> Reply:
        return Reply(importlib.import_module(str(request)).LOADED_BY)
