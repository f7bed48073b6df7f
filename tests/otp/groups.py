"""The operations of the vectors with process groups (FORMAT.md §4)."""

from __future__ import annotations

from typing import Any

from actorcore.errors import RequestError
from tests.otp.asking import Asks


def group_operation(actor: Asks, op: dict[str, Any]) -> Any:
    """One operation of ``actor``, a proc or the driver."""
    scope = actor.find(op["pg"])
    assert scope is not None

    def call(*words: Any) -> Any:
        return actor.ask(scope, list(words))

    match op["op"]:
        case "pg_join" | "pg_leave":
            who = [actor.scene.find(name) for name in ([op["who"]] if isinstance(op["who"], str) else op["who"])]
            try:
                call(op["op"][3:], op["group"], who)
            except RequestError as error:
                return error.code
        case "pg_members":
            return sorted(map(actor.scene.label, call("members", op["group"])))
        case "pg_groups":
            return sorted(call("which_groups"))
        case "pg_monitor":
            ref, members = call("monitor", op["group"])
            actor.groups[ref] = op["ref"]
            return sorted(map(actor.scene.label, members))
        case "pg_demonitor":
            (ref,) = [ref for ref, name in actor.groups.items() if name == op["ref"]]
            call("demonitor", ref)
    return "ok"
