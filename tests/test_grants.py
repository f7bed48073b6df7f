"""S5: what a process that may start nothing may ask of each resident of the daemon. The table of verbs is closed: what is
added to a machine's words is refused to such a process until the table says otherwise."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from actorcore.effects import Deliver
from actorcore.frames import System, encoder
from actorcore.grants import verb_of
from actorcore.signals import Answer, Ask, Asked, Booted, Born, ClientAttached, ProcessSpec, Spawn, Whereis
from actorcore.words import RESIDENT
from supervisors.machines import MACHINES, OPEN_VERBS
from supervisors.node_entry import kernel
from supervisors.registry.groups import GroupRequest
from supervisors.registry.words import RegistryRequest
from supervisors.services.limiter import LimiterRequest
from supervisors.services.services import Ensure
from supervisors.session.words import ManagerRequest
from supervisors.tree.session_words import SessionRequest
from supervisors.tree.words import SupervisorRequest

SUPERVISORS = ("supervisor", "partition_supervisor", "dynamic_supervisor", "task_supervisor", "task_pool")
WORDS: dict[str, Any] = {
    "system:sessions": SessionRequest, "system:manager": ManagerRequest, "system:services": Ensure,
    **dict.fromkeys(("system:limiter", "limiter"), LimiterRequest), "registry": RegistryRequest, "groups": GroupRequest,
    **dict.fromkeys(SUPERVISORS, SupervisorRequest),
}  # fmt: skip
CLOSED = {"down", "reload", "renew", "start_session", "stop_session", "shutdown", "create", "resume", "stop", "start_child",
          "terminate_child", "configure", "reset", "take_ended", "forget_saved", "restart", "update", "replace_spec"}  # fmt: skip
REFUSED = ("not_permitted", "may_spawn")


def verbs_of(kind: str) -> set[str]:
    if kind == "system:node":
        return {"status", "reload", "renew", "down"}
    words = get_args(WORDS[kind]) or (WORDS[kind],)
    return {str(word.__struct_config__.tag) for word in words}


class World:
    """The daemon's kernel, with a client and two processes: one that may start others, and one that may not."""

    def __init__(self) -> None:
        self.kernel, self.numbers, self.answers = kernel(1), 0, dict[int, object]()
        self.do(ClientAttached(0, b"", 1))
        self.client = self.kernel.table.last_client
        self.free, self.confined = self.process(True), self.process(False)

    def do(self, event: Any) -> None:
        for effect in self.kernel.handle(event, 1.0):
            if isinstance(effect, Deliver) and isinstance(effect.body, Answer):
                self.answers[effect.to] = effect.body.error or effect.body

    def say(self, asker: int, request: Any) -> Any:
        self.numbers += 1
        self.answers.pop(asker, None)
        self.do(Asked(asker, self.numbers, request))
        return self.answers.get(asker)

    def spawn(self, spec: ProcessSpec) -> int:
        return int(self.say(self.client, Spawn(spec, wait_init=False)).value)

    def process(self, may_spawn: bool) -> int:
        serial = self.spawn(ProcessSpec("m:f", may_spawn=may_spawn))
        self.do(Born(serial, 1000 + serial))
        self.do(Booted(serial))
        return serial

    def ask(self, asker: int, kind: str, body: object) -> object:
        """The answer of a resident of ``kind``; None while it has not come."""
        found = self.say(self.client, Whereis(kind)).value
        raw = body if isinstance(body, bytes) else msgspec.msgpack.encode(body)
        return self.say(asker, Ask(int(found), msgspec.Raw(raw)))


@pytest.fixture
def world() -> World:
    made = World()
    for machine in MACHINES:
        made.spawn(ProcessSpec(machine, template=RESIDENT, name=machine))
    return made


def test_S5_the_table_names_every_resident_and_no_verb_that_there_is_not() -> None:
    assert OPEN_VERBS.keys() == {"system:node", *WORDS}
    assert {kind: OPEN_VERBS[kind] - verbs_of(kind) for kind in OPEN_VERBS} == dict.fromkeys(OPEN_VERBS, frozenset())
    assert CLOSED & set().union(*OPEN_VERBS.values()) == set()
    assert set().union(*map(verbs_of, OPEN_VERBS)) >= CLOSED


@pytest.mark.parametrize("kind", OPEN_VERBS)
def test_S5_who_may_start_nothing_is_refused_every_verb_that_is_not_open_and_no_other(kind: str) -> None:
    for verb in sorted(verbs_of(kind)):
        refused = {}
        for asker in ("client", "free", "confined"):
            world = World()
            if kind in MACHINES:
                world.spawn(ProcessSpec(kind, template=RESIDENT, name=kind))
            body = {"verb": verb} if kind == "system:node" else [verb]
            refused[asker] = world.ask(getattr(world, asker), kind, body) == REFUSED
        assert (verb, refused) == (verb, {"client": False, "free": False, "confined": verb not in OPEN_VERBS[kind]})


@pytest.mark.parametrize("body", [
    encoder.encode(System(0, msgspec.Raw(encoder.encode(["suspend"])))), b"\xc1", b"", b"\x90", b"\x91\x01", b"\x80",
    b"\x82\xa4verb\xa4down\xa4verb\xa6status", b"\x82\xa4verb\xa6status\xa4more\x01", b"\x91" * 5000, b"\xa6status",
])  # fmt: skip
def test_S5_nothing_else_gets_past(world: World, body: bytes) -> None:
    for kind in OPEN_VERBS:
        assert world.ask(world.confined, kind, body) == REFUSED
    assert verb_of(msgspec.Raw(body)) not in {"status", "down"}
