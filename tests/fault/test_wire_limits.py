"""RELIABILITY E3, E8, E11, S15, S16 on a real daemon: half requests, heavy ones, others' numbers, texts that lie."""

from __future__ import annotations

import json
import re
import time

import msgspec
import pytest

from actorcore import frames
from actorcore.errors import CODES, CallFailed, RequestError
from actorcore.frames import MAX_REQUEST_BYTES, Farewell, Numbered, Reply, decode_up
from actorcore.pids import Pid
from actorcore.signals import (
    Ask,
    Demonitor,
    Introduce,
    Link,
    Monitor,
    ProcessSpec,
    Register,
    Request,
    SendExit,
    Spawn,
    Unregister,
)
from supervisors.client import Client
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.session_words import (
    GetSession,
    ListSessions,
    RemoveSession,
    RestartSession,
    SessionRequest,
    Shutdown,
    StartSession,
    StopSession,
)
from tests.daemon_fixture import WAIT_S, WITNESS, Desk
from tests.fault.wire import dialled, farewell_of, frame_of, framed, greeted, hello, request, whereis
from tests.malformed import JUNK, REQUESTS, VALUES

EMPTY_MAPS = 0xD000
"""In one frame: each costs a byte on the wire and 64 in memory."""
MAPS = b"\xdc" + EMPTY_MAPS.to_bytes(2, "big") + b"\x80" * EMPTY_MAPS
MOST_DECODES = 2.0
"""Of them, as the time that others may have to wait: 5 ms where a decode takes 2.5."""


# ---- E3: half a request -----------------------------------------------------------------------------------------------


def cuts(data: bytes) -> list[int]:
    """Inside the length, after it, after the headers of list and request, in the middle, before the last byte."""
    return sorted({1, 3, 4, 5, 6, len(data) // 2, len(data) - 1})


@pytest.mark.parametrize(("name", "body"), [
    ("half-register", Register("half-register")), ("half-spawn", Spawn(ProcessSpec(WITNESS, name="half-spawn"), wait_init=False)),
])  # fmt: skip
def test_E3_half_a_request_has_no_effect_and_its_other_half_completes_it(desk: Desk, name: str, body: Request) -> None:
    whole = request(2, body)
    for cut in cuts(whole):
        with dialled(desk) as sock:
            greeted(sock)
            sock.sendall(whereis(1, "ada") + whole[:cut])
            frame_of(sock)  # the whole request before it is answered
            assert desk.client.whereis(name) is None, cut
    with dialled(desk) as sock:
        greeted(sock)
        sock.sendall(whole[:cut])
        sock.sendall(whole[cut:])
        (answer,) = frames.decode_down(frame_of(sock))
        assert answer.body.error is None  # type: ignore[union-attr]
        if isinstance(body, Spawn):  # who is started without being waited for has its name later
            pid = Pid(desk.client.pid.instance, answer.body.value)  # type: ignore[union-attr, arg-type]
            ref = desk.client.monitor(pid)
            desk.client.kill(pid)
            assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
        else:
            assert desk.client.whereis(name) is not None


# ---- E8: small on the wire, large in memory ---------------------------------------------------------------------------


def heavy(desk: Desk) -> dict[str, Request]:
    maps = msgspec.Raw(MAPS)
    node, sessions = (desk.client.whereis(f"system:{name}").serial for name in ("node", "sessions"))  # type: ignore[union-attr]
    spec = ProcessSpec(WITNESS, [maps])  # type: ignore[list-item]
    return {
        "ask node": Ask(node, maps), "ask sessions": Ask(sessions, maps), "spawn": Spawn(spec),
        "exit": SendExit(1 << 40, {"x": maps}),  # type: ignore[dict-item]
        "start": Ask(sessions, msgspec.Raw(frames.encoder.encode(StartSession(ChildSpec("heavy", spec))))),
    }  # fmt: skip


def test_E8_the_body_of_a_request_passes_the_node_undecoded(desk: Desk) -> None:
    for name in ("ask node", "ask sessions", "start"):
        (said,) = decode_up(request(1, heavy(desk)[name])[4:])
        assert isinstance(said, Numbered)
        assert isinstance(said.body, Ask)
        assert type(said.body.body) is msgspec.Raw


def test_E8_fifty_thousand_empty_maps_anywhere_in_a_request_do_not_hold_up_the_others(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    node, stalls, decode_s = desk.node_os_pid(), {}, WAIT_S
    for name, body in heavy(desk).items():
        best = WAIT_S
        for _ in range(15):  # the least of fifteen: this machine has other things to do as well
            with dialled(desk) as sock:
                greeted(sock)
                data = request(1, body)
                assert len(data) <= MAX_REQUEST_BYTES + 4
                desk.client.whereis("ada")
                sock.sendall(data)
                started = time.perf_counter()
                desk.client.whereis("ada")
                best = min(best, time.perf_counter() - started)
                assert frame_of(sock) != b""
            started = time.perf_counter()
            msgspec.msgpack.decode(MAPS)
            decode_s = min(decode_s, time.perf_counter() - started)
        stalls[name] = best
    with capsys.disabled():
        told = ", ".join(f"{name} {s * 1e3:.1f} ms" for name, s in stalls.items())
        print(f"\nE8: whereis behind 53,248 empty maps, which take {decode_s * 1e3:.1f} ms to decode: {told}")
    assert [name for name, s in stalls.items() if s > MOST_DECODES * decode_s] == [], (stalls, decode_s)
    assert desk.node_os_pid() == node


# ---- E11: numbers and refs are their owner's --------------------------------------------------------------------------


def test_E11_the_same_number_of_two_clients_is_two_requests(desk: Desk) -> None:
    with dialled(desk) as one, dialled(desk) as two:
        for sock, name in ((one, "ada"), (two, "barbara")):
            greeted(sock)
            sock.sendall(whereis(1, name))
        answers = [frames.decode_down(frame_of(sock))[0].body.value for sock in (one, two)]  # type: ignore[union-attr]
    assert answers == [desk.client.whereis(name).serial for name in ("ada", "barbara")]  # type: ignore[union-attr]


def test_E11_nobody_ends_another_ones_monitor(desk: Desk) -> None:
    pid = desk.client.spawn(WITNESS)
    ref = desk.client.monitor(pid)
    with dialled(desk) as sock:
        greeted(sock)
        for number, body in enumerate((Demonitor(int(ref)), Monitor(int(ref), pid.serial), Demonitor(int(ref))), 1):
            sock.sendall(request(number, body))
        answers = [frames.decode_down(frame_of(sock))[0].body.value for _ in range(3)]  # type: ignore[union-attr]
    assert answers == [False, True, True]
    desk.client.kill(pid)
    assert desk.client.wait_down(ref, WAIT_S).reason == "killed"


def test_E11_a_reply_that_nobody_waits_for_is_dropped(desk: Desk) -> None:
    pid = desk.client.spawn(WITNESS)
    assert desk.client.call(pid, ["add", 1]) == 1
    channel = desk.client._core.channel_to(pid.serial)
    for number in (0, 1, 99, 2**63):
        channel.post(Reply(number, msgspec.Raw(b"\x01")))
    desk.client._core.flush(channel)
    assert desk.client.call(pid, ["add", 1]) == 2
    desk.client.kill(pid)


def test_a_client_that_is_killed_is_told_and_its_calls_end(desk: Desk) -> None:
    with Client.connect(desk.daemon.directory, WAIT_S) as victim:
        desk.client.kill(victim.pid)
        with pytest.raises(CallFailed) as caught:
            victim.whereis("ada")
    assert str(caught.value.__cause__) == "expired: this client has ended"


def test_a_client_that_was_killed_while_it_was_away_is_told_when_it_returns(desk: Desk) -> None:
    with dialled(desk) as sock:
        victim = greeted(sock)
    desk.client.kill(Pid(victim.instance, victim.serial))
    with dialled(desk) as sock:
        sock.sendall(hello(serial=victim.serial, secret=victim.secret))
        assert farewell_of(sock) == Farewell("expired", "this client is not known any more")


# ---- S15, S16: what is told to clients and to the log -----------------------------------------------------------------

LEAKS = re.compile(r"Traceback|File \"|\.py\b|/[a-z]+/[a-z]|\[Errno|Errno \d")
"""A traceback, a source file, a path, an errno's text."""


def refusals(desk: Desk) -> list[tuple[str, str]]:
    """Every kind of request with every kind of junk in every place, and what comes back."""
    found: list[tuple[str, str]] = []
    for name in ("system:sessions", "system:node", "system:manager", "system:limiter", "system:services"):
        resident = desk.client.whereis(name)
        assert resident is not None
        for junk in (*JUNK, *map(bytes, VALUES)):
            found += answers_to(desk, frames.encoder.encode(Ask(resident.serial, msgspec.Raw(junk))))
    for body in refused_in_turn(desk):
        told = answers_to(desk, frames.encoder.encode(body), True)
        assert told != [], body
        found += told
    for body in REQUESTS:
        if isinstance(body, SendExit):
            continue
        tree = msgspec.msgpack.decode(frames.encoder.encode(body), ext_hook=msgspec.msgpack.Ext)
        for at in range(1, len(tree)):
            for value in VALUES:
                mine = [*tree[:at], value, *tree[at + 1 :]]
                found += answers_to(desk, msgspec.msgpack.encode(mine))
    return found


def refused_in_turn(desk: Desk) -> list[Request]:
    """One request for each refusal that junk alone does not meet."""
    ada, sessions = desk.client.whereis("ada"), desk.client.whereis("system:sessions")
    assert ada is not None
    assert sessions is not None
    nobody, raw, ok = 1 << 40, msgspec.Raw(b"\xc0"), ProcessSpec(WITNESS)
    asked: list[SessionRequest] = [
        *(kind("nobody-has-it") for kind in (StopSession, RestartSession, RemoveSession, GetSession)), RemoveSession("ada"),
        StartSession(ChildSpec("ada", ok)), StartSession(ChildSpec("not ok", ok)), ListSessions(0, 0), Shutdown(-1.0),
        StartSession(ChildSpec("other", ProcessSpec(WITNESS, name="ada"))), StartSession(ChildSpec("other", ok, period_s=0.0)),
        StartSession(ChildSpec("other", ok, give_up="never", backoff_step_s=0.0)),
        StartSession(ChildSpec("other", ProcessSpec("no_such_module:x"))),
    ]  # fmt: skip
    return [
        Ask(ada.serial, raw), Ask(nobody, raw), Introduce(nobody), Link(nobody),
        Register("ada"), Register("system:x"), Register("Not a Name"), Register("other", nobody), Unregister("ada"),
        Unregister("nobody-has-it"), Spawn(ProcessSpec("no_such_module:x")), Spawn(ProcessSpec("os:environ")),
        Spawn(ProcessSpec("no colon")), Spawn(ProcessSpec("os:path.join")), Spawn(ProcessSpec(WITNESS, name="ada")),
        Spawn(ProcessSpec(WITNESS, template="nothing")), Spawn(ProcessSpec(WITNESS, [1, 2, 3, 4])), Spawn(ProcessSpec("x" * 300)),
        *(Ask(sessions.serial, msgspec.Raw(frames.encoder.encode(request))) for request in asked),
    ]  # fmt: skip


def answers_to(desk: Desk, body: bytes, is_ours: bool = False) -> list[tuple[str, str]]:
    frame = b"\x91\x93\xa8numbered\x01" + body
    try:
        (said,) = decode_up(frame)
    except Exception:
        return []  # refused as a frame, in the one text that test_wire knows
    if not isinstance(said, Numbered):
        return []
    if not is_ours and isinstance(said.body, Spawn) and said.body.spec.start not in ("", "module:name"):
        return []
    with dialled(desk) as sock:
        greeted(sock)
        sock.sendall(framed(frame))
        for delivery in frames.decode_down(frame_of(sock)):
            error = getattr(delivery.body, "error", None)
            if error is not None:
                return [(error[0], json.dumps(error[1], default=str))]
    return []


def test_S16_no_refusal_has_a_path_a_traceback_or_an_errno_in_it(desk: Desk) -> None:
    told = refusals(desk)
    assert len(told) > 100
    assert {code for code, _ in told} <= CODES
    assert [(code, detail) for code, detail in told if LEAKS.search(detail)] == []
    assert [detail for _, detail in told if len(detail) > 1000] == []


@pytest.mark.parametrize("text", ["line\nline", "\x1b]0;x\x07", "nul\0", "\r", "\u2028", "\u202e", '"}\n{"kind":"forged"'])
def test_S15_a_text_that_lies_is_one_record_of_the_log_and_forges_none(desk: Desk, text: str) -> None:
    before = len(desk.daemon.log.read_text().splitlines())
    with pytest.raises(RequestError):
        desk.client.register(text)
    with pytest.raises(RequestError):
        desk.client.spawn(f"no_such_module:{text}", name="liar")
    pid = desk.client.spawn(WITNESS)
    ref = desk.client.monitor(pid)
    desk.client.exit(pid, {"error": text})
    assert desk.client.wait_down(ref, WAIT_S).reason == {"error": text}
    desk.node_os_pid()
    raw = desk.daemon.log.read_bytes().split(b"\n")[before:]
    records = [json.loads(line) for line in raw if line]
    assert [line for line in raw if re.search(rb"[\x00-\x1f\x7f]", line)] == []
    assert not {"forged"} & {record["kind"] for record in records}
    assert sum(record["detail"] == {"error": text} for record in records) == 1


def test_S16_a_pid_of_nobody_and_a_name_of_nobody_are_told_alike(desk: Desk) -> None:
    for target in ("nobody-has-it", Pid(desk.client.pid.instance, 1 << 40)):
        with pytest.raises(CallFailed) as caught:
            desk.client.call(target, None)
        assert caught.value.reason == "noproc"
    assert desk.client.whereis("nobody-has-it") is None
