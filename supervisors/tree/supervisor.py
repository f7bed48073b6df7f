"""Supervisor: one_for_one, one_for_all, rest_for_one and simple_one_for_one, as OTP 25's supervisor.erl decides."""

from __future__ import annotations

import msgspec

from actorcore.exit_reason import Reason, Term
from actorcore.frames import decode_ext
from actorcore.residents import AnswerTo
from supervisors.tree.base import BaseSupervisor, Refusal
from supervisors.tree.spec import Child, SupervisorSpec, trouble_with, trouble_with_child
from supervisors.tree.words import (
    AnswerStep,
    Asker,
    Configure,
    DeleteChild,
    GetChildSpec,
    LeaveStep,
    Life,
    Partition,
    ReadyStep,
    RestartChild,
    StartChild,
    StartInstance,
    StartStep,
    Step,
    StopAllStep,
    StopStep,
    SupervisorRequest,
    TerminateChild,
)

_decoder = msgspec.msgpack.Decoder(SupervisorSpec, ext_hook=decode_ext)


class Supervisor(BaseSupervisor):
    """The machine; requests are in :mod:`supervisors.tree.words`."""

    def __init__(self, spec: SupervisorSpec | None = None) -> None:
        super().__init__()
        self._set_spec(spec or SupervisorSpec())

    def _set_spec(self, spec: SupervisorSpec) -> None:
        self.spec = self.budget = spec
        self._is_simple = self._is_dynamic = spec.strategy == "simple_one_for_one"

    def snapshot(self) -> bytes:
        """The whole state."""
        return self._memory(self.spec)

    def restore(self, state: bytes) -> None:
        """Become what :meth:`snapshot` described."""
        self._set_spec(_decoder.decode(self._recall(state)))

    # ---- start and stop ---------------------------------------------------------------------------------------------

    def _first_steps(self) -> list[Step] | str:
        if (trouble := trouble_with(self.spec)) is not None:
            return trouble
        first: list[Step] = []
        if not self._is_simple:
            first.extend(StartStep(self._add(child).key, "init") for child in self.spec.children)
        return [*first, ReadyStep()]

    def _stop_all(self) -> list[Step]:
        if self._is_simple:
            return [StopAllStep()]
        return [StopStep(key) for key in reversed(self.children)]

    def _on_start_refused(self, life: Life, step: StartStep, reason: Reason) -> None:
        match step.why:
            case "init":
                self._agenda.clear()
                self._agenda.extend(self._stop_all())
                self._agenda.append(LeaveStep({"shutdown": {"failed_to_start_child": [life.spec.id, reason]}}, True))
            case "restart":
                # The later ones wait for it: its next try starts them too.
                while self._agenda and isinstance(self._agenda[0], StartStep):
                    self._agenda.popleft()
                self._retry(life, reason)
            case "request":
                self.orders.append(AnswerTo(*step.asker, error=("start_failed", reason)))
                if step.is_new:
                    del self.children[life.key]

    def _on_ignored(self, life: Life, step: StartStep) -> None:
        if life.spec.restart == "temporary" or self._is_simple:
            del self.children[life.key]
        if step.why == "request":
            self.orders.append(AnswerTo(*step.asker, None))

    # ---- restarts ---------------------------------------------------------------------------------------------------

    def _restart(self, life: Life) -> list[Step]:
        match self.spec.strategy:
            case "one_for_all":
                concerned = list(self.children)
            case "rest_for_one":
                concerned = [key for key in self.children if key >= life.key]
            case _:
                concerned = [life.key]
        if len(concerned) == 1:
            return [StartStep(life.key, "restart")]
        stay = [key for key in concerned if self.children[key].spec.restart != "temporary"]
        return [*(StopStep(key) for key in reversed(concerned)), *(StartStep(key, "restart") for key in stay)]

    def _forget(self, life: Life) -> None:
        if life.spec.restart == "temporary" or self._is_simple:
            del self.children[life.key]

    def _is_end(self, life: Life) -> bool:
        if not life.spec.significant or self.spec.auto_shutdown == "never":
            return False
        if self.spec.auto_shutdown == "any_significant":
            return True
        return not any(other.spec.significant and (other.serial or other.restarting) for other in self.children.values())

    # ---- requests ---------------------------------------------------------------------------------------------------

    def _serve(self, asker: Asker, request: SupervisorRequest) -> Refusal | None:
        if self._is_simple:
            return self._serve_simple(asker, request)
        match request:
            case StartChild(child):
                return self._start_child(asker, child)
            case TerminateChild(id) if (life := self._find(id)) is not None:
                self._agenda.extend([StopStep(life.key), AnswerStep(asker)])
            case RestartChild(id) if (life := self._find(id)) is not None:
                if (state := _state(life)) is not None:
                    return state
                self._agenda.append(StartStep(life.key, "request", asker))
            case DeleteChild(id) if (life := self._find(id)) is not None:
                if (state := _state(life)) is not None:
                    return state
                del self.children[life.key]
                self.orders.append(AnswerTo(*asker, True))
            case GetChildSpec(id) if (life := self._find(id)) is not None:
                self.orders.append(AnswerTo(*asker, msgspec.to_builtins(life.spec)))
            case StartInstance() | Partition() | Configure():
                return ("unsupported", "start_instance, partition and configure are for other kinds of supervisors")
            case _:
                return ("not_found", None)
        return None

    def _start_child(self, asker: Asker, child: Child) -> Refusal | None:
        if (trouble := trouble_with_child(child, self.spec.auto_shutdown)) is not None:
            return ("invalid_spec", trouble)
        life = self._find(child.id)
        if life is not None:
            return ("already_started", life.serial) if life.serial else ("already_present", None)
        self._agenda.append(StartStep(self._add(child).key, "request", asker, is_new=True))
        return None

    def _serve_simple(self, asker: Asker, request: SupervisorRequest) -> Refusal | None:
        match request:
            case StartInstance(args):
                model = self.spec.children[0]
                process = msgspec.structs.replace(model.process, args=[*model.process.args, *args])
                life = self._add(msgspec.structs.replace(model, process=process))
                self._agenda.append(StartStep(life.key, "request", asker, is_new=True))
            case TerminateChild(id, serial) if not id:
                known = self._find_serial(serial)
                if known is None:  # OTP says ok to a pid that is dead, whoever it was
                    self._probe(asker, serial)
                else:
                    self._agenda.extend([StopStep(known.key, forget=True), AnswerStep(asker)])
            case GetChildSpec():
                self.orders.append(AnswerTo(*asker, msgspec.to_builtins(self.spec.children[0])))
            case _:
                return ("simple_one_for_one", None)
        return None

    def _specs(self) -> int:
        return 1 if self._is_simple else len(self.children)

    def _find(self, id: str) -> Life | None:
        return next((life for life in self.children.values() if life.spec.id == id), None)


def _state(life: Life) -> tuple[str, Term] | None:
    """Why a stopped child is wanted and it is none."""
    if life.restarting:
        return ("restarting", None)
    return ("running", life.serial) if life.serial else None
