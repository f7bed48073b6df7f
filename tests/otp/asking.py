"""The operations of FORMAT.md §4 that are calls of a supervisor or a registry, for whoever can call: an actor or the driver."""

from __future__ import annotations

from typing import Any

from actorcore.errors import CallFailed, RequestError, StartFailed
from tests.otp.scene import Scene, child_of, labelled, told, why_of


class Asks:
    """Needs a scene and three ways to reach others."""

    scene: Scene
    groups: dict[int, str]
    """The names of the monitors of process groups."""

    def find(self, target: str) -> int | None:
        """The serial behind a target of FORMAT.md §4."""
        raise NotImplementedError

    def ask(self, to: int | str, words: list[Any]) -> Any:
        """Call a process or name, however long it takes."""
        raise NotImplementedError

    def tell(self, to: int, message: Any) -> None:
        """Send a plain message."""
        raise NotImplementedError

    def holder(self, target: str) -> int | None:
        """Whom ``via:registry:key`` means."""
        _, registry, key = target.split(":")
        held = self.ask(registry, ["lookup", key])
        return held[0][0] if held else None

    # ---- supervisors ------------------------------------------------------------------------------------------------

    def supervise(self, op: dict[str, Any]) -> Any:
        """The supervisor operations."""
        to = self.find(op["sup"])
        if to is None:
            return {"error": "no_such_actor"}
        try:
            answer = self.ask(to, self.words(op))
        except StartFailed as failure:
            return {"error": labelled(self.scene, told(failure.reason))}
        except RequestError as error:
            return self.refused(error)
        except CallFailed as error:
            return {"exit": why_of(error)}
        match op["op"]:
            case "which_children":
                return self.listed(answer, self.definition_of(op["sup"]))
            case "start_child" | "restart_child":
                if isinstance(answer, int):
                    return {"ok": self.scene.label(answer)}
                return "ignore" if self.is_dynamic(op["sup"]) else {"ok": None}
            case "count_children":
                return answer
        return "ok"

    def is_dynamic(self, name: str) -> bool:
        return self.definition_of(name)["kind"] == "dynsup"

    def definition_of(self, name: str) -> dict[str, Any]:
        base = name.split("#")[0]
        found: dict[str, Any] = self.scene.definitions.get(base) or self.scene.definitions[self.scene.definition_of(base)]
        return found

    def words(self, op: dict[str, Any]) -> list[Any]:
        kind, how = op["op"], self.definition_of(op["sup"])
        is_simple = how.get("strategy") == "simple_one_for_one"
        match kind:
            case "start_child" if is_simple and "child" not in op:
                return ["start_instance", [op["as"]]]
            case "start_child":
                return [kind, child_of(self.scene, op["child"])]
            case "terminate_child" if (is_simple or how["kind"] == "dynsup") and not op.get("by_id"):
                found = self.scene.find(op["child"])
                return [kind, "", found or 0]
            case "which_children" | "count_children":
                return [kind]
            case _:
                return [kind, op["child"]]

    def refused(self, error: RequestError) -> Any:
        if error.code == "already_started":
            return {"error": {"already_started": self.scene.label(int(error.detail))}}
        return {"error": error.code}

    def listed(self, rows: Any, how: dict[str, Any]) -> Any:
        def who(serial: Any) -> Any:
            return self.scene.label(serial) if isinstance(serial, int) else serial

        if how["kind"] == "dynsup" or how.get("strategy") == "simple_one_for_one":
            return sorted((who(serial) for _, serial, _ in rows), key=str)
        return {id: [who(serial), type] for id, serial, type in rows}

    # ---- registries -------------------------------------------------------------------------------------------------

    def register_in(self, op: dict[str, Any]) -> Any:
        """The operations of Elixir's Registry."""
        registry = op["reg"]
        key, value = op.get("key"), op.get("value")
        who = self.find(op["who"]) if "who" in op else None
        match op["op"]:
            case "reg_register" | "reg_unregister" | "reg_unregister_match":
                words = [op["op"][4:], key, *([value] if "value" in op else [])]
                try:
                    self.ask(registry, words)
                except RequestError as error:
                    return {"error": labelled(self.scene, {error.code: int(error.detail)})}
                return "ok"
            case "reg_update":
                try:
                    return self.ask(registry, ["update_value", key, value])
                except RequestError:
                    return "error"
            case "reg_lookup" | "reg_match":
                rows = self.ask(registry, [op["op"][4:], key, *([value] if op["op"] == "reg_match" else [])])
                return sorted(([self.scene.label(serial), one] for serial, one in rows), key=str)
            case "reg_keys":
                return sorted(self.ask(registry, ["keys", who]))
            case "reg_values":
                return sorted(self.ask(registry, ["values", key, who]))
            case "reg_count":
                return self.ask(registry, ["count"])
            case "reg_dispatch":
                for serial, one in self.ask(registry, ["lookup", key]):
                    self.tell(serial, {"msg": [op["msg"], one]})
                return "ok"
        held = self.holder(f"via:{registry}:{key}")
        if op["op"] == "reg_whereis":
            return None if held is None else self.scene.label(held)
        if held is None:
            return {"raise": "badarg"}
        self.tell(held, {"msg": op["msg"]})
        return "ok"
