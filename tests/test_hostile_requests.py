"""What the process table refuses before it costs anything: specs that cannot be, asks without end, channels without a socket."""

from __future__ import annotations

import math

import msgspec
import pytest

from actorcore import process_spec, terms
from actorcore.effects import Connect
from actorcore.pids import Pid
from actorcore.signals import Ask, Channel, Introduce, NotConnected, PeerDown, ProcessSpec, Spawn
from actorcore.table.requests import MAX_ASKS
from tests.table_driver import Driver, bodies

SPECS = {
    "init_timeout_s: must be more than 0": [{"init_timeout_s": value} for value in (0.0, -1.0, math.nan, math.inf)],
    "path: NUL": [{"path": "a\0b"}],
    "env: a name without = and NUL, a value without NUL": [{"env": env} for env in ({"": "x"}, {"a=b": "x"}, {"a": "\0"})],
    "limits: nofile: 16 to 9223372036854775806": [{"limits": {"nofile": value}} for value in (-1, 15, 2**63 - 1)],
    "start: at most 255 characters": [{"start": "m:" + "f" * 300}],
}


@pytest.mark.parametrize(("trouble", "fields"), [(trouble, fields) for trouble, some in SPECS.items() for fields in some])
def test_a_spec_that_cannot_be_is_refused_before_a_fork(trouble: str, fields: dict[str, object]) -> None:
    node = Driver()
    client = node.client()
    spec = ProcessSpec(**{"start": "m:f", **fields})  # type: ignore[arg-type]
    assert node.error(client, Spawn(spec)) == ("invalid_spec", trouble)
    assert node.table.statistics().processes == 0


def test_an_unknown_limit_is_refused_with_those_that_there_are() -> None:
    trouble = process_spec.trouble_with(ProcessSpec("m:f", limits={"NOPE": 1}))
    assert trouble is not None
    assert "nofile" in trouble


def test_S18_so_many_asks_may_be_without_an_answer_and_no_more() -> None:
    node = Driver()
    node.check = False
    client = node.client()
    raw = msgspec.Raw(b"\xc0")
    for _ in range(MAX_ASKS):
        assert bodies(node.ask(client, Ask(node.root, raw)), client) == []
    assert node.error(client, Ask(node.root, raw)) == ("too_many_requests", f"{MAX_ASKS} without an answer")
    node.resident_answers(client, 1, True)
    assert bodies(node.ask(client, Ask(node.root, raw)), client) == []


def test_C10_a_channel_for_which_there_is_no_socket_fails_for_both_and_may_be_asked_for_again() -> None:
    node = Driver()
    one, two = node.start(), node.start()
    node.ask(one, Introduce(two))
    effects = node.do(NotConnected(one, two, "emfile"))
    reason = {"resource_exhausted": "emfile"}
    assert (bodies(effects, one), bodies(effects, two)) == ([PeerDown(two, reason)], [PeerDown(one, reason)])
    assert any(isinstance(effect, Connect) for effect in node.ask(one, Introduce(two)))
    assert node.do(NotConnected(4711, 4712, "emfile")) == []
    assert Channel is not PeerDown


@pytest.mark.parametrize(("term", "trouble"), [
    ({"a": [1, "b", None, True, 2.5, b"c", Pid(1, 2)]}, None), ("kill", None), ([[]] * terms.MAX_ITEMS, None),
    ([[]] * (terms.MAX_ITEMS + 1), "more than 8192 items"), ({1: 2}, "a key that is no text"),
    ({"a": {b"x": 1}}, "a key that is no text"),
    (object(), "no plain data: object"), ([msgspec.msgpack.Ext(7, b"")], "no plain data: Ext"),
])  # fmt: skip
def test_a_term_that_the_node_holds_is_plain_and_small(term: object, trouble: str | None) -> None:
    assert terms.trouble_with(term) == trouble


def test_a_term_is_at_most_32_deep() -> None:
    deep: object = "x"
    for _ in range(terms.MAX_DEPTH):
        deep = [deep]
    assert terms.trouble_with(deep) is None
    assert terms.trouble_with([deep]) == "nested deeper than 32"
