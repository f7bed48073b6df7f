"""DynamicSupervisor: children without ids, started on demand, each by its own spec (Elixir's DynamicSupervisor)."""

from __future__ import annotations

import msgspec

from actorcore.exit_reason import Reason
from actorcore.frames import decode_ext
from actorcore.residents import AnswerTo
from supervisors.tree.base import BaseSupervisor, Refusal
from supervisors.tree.spec import DynamicSpec, trouble_with_budget, trouble_with_child
from supervisors.tree.words import (
    AnswerStep,
    Asker,
    Life,
    ReadyStep,
    StartChild,
    StartStep,
    Step,
    StopAllStep,
    StopStep,
    SupervisorRequest,
    TerminateChild,
)

_decoder = msgspec.msgpack.Decoder(DynamicSpec, ext_hook=decode_ext)


class DynamicSupervisor(BaseSupervisor):
    """The machine. A child that is not restarted is forgotten; one whose restart fails keeps its place meanwhile."""

    def __init__(self, spec: DynamicSpec | None = None) -> None:
        super().__init__()
        self._set_spec(spec or DynamicSpec())

    def _set_spec(self, spec: DynamicSpec) -> None:
        self.spec = self.budget = spec

    def snapshot(self) -> bytes:
        """The whole state."""
        return self._memory(self.spec)

    def restore(self, state: bytes) -> None:
        """Become what :meth:`snapshot` described."""
        self._set_spec(_decoder.decode(self._recall(state)))

    def _first_steps(self) -> list[Step] | str:
        trouble = trouble_with_budget(self.spec)
        if trouble is None and self.spec.max_children is not None and self.spec.max_children < 0:
            trouble = "max_children: must be 0 or more"
        return [ReadyStep()] if trouble is None else trouble

    def _stop_all(self) -> list[Step]:
        return [StopAllStep()]

    def _restart(self, life: Life) -> list[Step]:
        return [StartStep(life.key, "restart")]

    def _on_start_refused(self, life: Life, step: StartStep, reason: Reason) -> None:
        if step.why == "restart":
            self._retry(life, reason)
            return
        del self.children[life.key]
        self.orders.append(AnswerTo(*step.asker, error=("start_failed", reason)))

    def _on_ignored(self, life: Life, step: StartStep) -> None:
        del self.children[life.key]
        if step.why == "request":
            self.orders.append(AnswerTo(*step.asker, None))

    def _forget(self, life: Life) -> None:
        del self.children[life.key]

    def _serve(self, asker: Asker, request: SupervisorRequest) -> Refusal | None:
        match request:
            case StartChild(child):
                if (trouble := trouble_with_child(child, "never")) is not None:
                    return ("invalid_spec", trouble)
                if self.spec.max_children is not None and len(self.children) >= self.spec.max_children:
                    return ("max_children", self.spec.max_children)
                self._agenda.append(StartStep(self._add(child).key, "request", asker))
            case TerminateChild(_, serial):
                life = self._find_serial(serial)
                if life is None:
                    return ("not_found", None)
                self._agenda.extend([StopStep(life.key, forget=True), AnswerStep(asker)])
            case _:
                return ("unsupported", "the children of a dynamic supervisor have no ids")
        return None
