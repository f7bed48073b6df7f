"""Malformed input: valid bytes of every kind that crosses a boundary, and what chance makes of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from actorcore import frames, guardian_words as words
from actorcore.errors import ProtocolError
from actorcore.frames import Call, Cast, Downlink, Farewell, Got, Hello, Info, Numbered, Reply, Welcome, encoder
from actorcore.kernel import Kernel
from actorcore.ledger import Ledger, LedgerInvalid
from actorcore.pids import Pid
from actorcore.runtime.node import listener, node, recovery
from actorcore.runtime.status_page import PAGE_BYTES, StatusPage, declared_reason
from actorcore.signals import (
    Answer,
    Ask,
    Asked,
    Begin,
    Booted,
    Born,
    Channel,
    ClientAttached,
    Demonitor,
    Down,
    Event,
    Exit,
    Exited,
    Introduce,
    IsAlive,
    Link,
    Monitor,
    PeerDown,
    Processes,
    ProcessSpec,
    Refused,
    Register,
    Request,
    SendExit,
    Spawn,
    TrapExit,
    Unlink,
    Unregister,
    Whereis,
)
from supervisors.tree import session_words as sessions
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.sessions import Sessions

DEEP = b"\x91" * 900 + b"\xc0"
JUNK = [
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01", b"\xcf" + b"\xff" * 8,
    b"\xd3\x80" + bytes(7), b"\xcb\x7f\xf8" + bytes(6), b"\xcb\x7f\xf0" + bytes(6), b"\xa3\xed\xa0\x80",
    b"\xa2\xff\xfe", b"\xc1", b"\xc0", b"\x80", b"\x90", b"\xa0", b"\xd6\xff" + bytes(4), b"\xd8\x01" + bytes(16), b"\xd4\x07\0",
    b"\x81\x90\x01", b"\x82\xc0\x01\xc0\x02", b"\xa1\0", b"\xa3\x1b[m", DEEP,
]  # fmt: skip
"""Length bombs, numbers at the edges, NaN, infinity, surrogates, no UTF-8, extensions, keys that are no text, depth."""

ARGS = [1, "two", {"three": [None, 4.5, b"six"]}, Pid(7, 8)]
SPEC = ProcessSpec("module:name", ARGS, name="ada", env={"A": "b"}, limits={"NOFILE": 9})  # type: ignore[arg-type]
REQUESTS: list[Request] = [
    Spawn(SPEC, True, 3, False), SendExit(5, {"shutdown": ["x", 1]}, 7), Link(5), Unlink(5), Monitor(1, 5),
    Monitor(2, name="ada"), Demonitor(1), TrapExit(True),
    Register("grace", 5), Unregister("grace"), Whereis("ada"), IsAlive(5), Introduce(5),
    Ask(1, msgspec.Raw(encoder.encode({"verb": "status"}))), Processes(0, 100),
]  # fmt: skip
ASKED: list[sessions.SessionRequest] = [
    sessions.StartSession(ChildSpec("s", SPEC, restart="permanent")), sessions.StopSession("s"), sessions.RestartSession("s"),
    sessions.RemoveSession("s"), sessions.GetSession("s"), sessions.ListSessions(0, 9), sessions.CountSessions(),
    sessions.Shutdown(),
]  # fmt: skip
DELIVERIES = [
    Answer(1, {"a": [1, "b"]}), Answer(2, None, ("not_found", "x")), Down([1, 2], 5, {"signal": "SIGSEGV"}),
    Exit(5, "shutdown", 9), Channel(5, True), PeerDown(5, "killed"), Begin(5, 7, 0, SPEC, 1),
]  # fmt: skip
BODY = msgspec.Raw(encoder.encode([1, {"two": b"3"}]))


class Decoder(NamedTuple):
    """``decode`` gives a value or raises ``declared``, nothing else, for whatever is made of ``valid``."""

    decode: Callable[[bytes], object]
    declared: type[Exception] | tuple[type[Exception], ...]
    valid: list[bytes]
    is_msgpack: bool = True


def decoders() -> dict[str, Decoder]:
    """Everything that decodes what another process has written."""
    up = [encoder.encode([Numbered(number, body)]) for number, body in enumerate(REQUESTS, 1)]
    up.append(encoder.encode([Numbered(number, body) for number, body in enumerate(REQUESTS, 1)]))
    up.append(encoder.encode([Born(1, 2), Booted(1), Refused(1, {"error": "x"}), Got(7)]))
    events: list[Event] = [*(Asked(3, number, body) for number, body in enumerate(REQUESTS, 1)), Exited(5, 1, 0, {"a": 1})]
    to_node: list[words.ToNode] = [
        words.Held([words.HeldProcess(1, 2, False)]), words.Zygote("lean"), words.Take(1, 2), words.Adopted(3),
        words.Unheld(3, "emfile"), words.Died(3, 1, 0), words.Halted(3, True), words.Signalled(15),
    ]  # fmt: skip
    to_guardian: list[words.ToGuardian] = [words.Serving(), words.Hold(3), words.Adopt(3, 4), words.Drop(3), words.Halt()]
    channel = [Call(1, BODY), Cast(BODY), Info(BODY), Reply(1, BODY), Reply(1, error=("busy", "x"))]
    greetings: list[Welcome | Farewell] = [Welcome(2, 1, 5, bytes(16)), Farewell("busy")]
    hellos = [encoder.encode(word) for word in (Hello(2), Hello(2, 7, bytes(16), 9))]
    return {
        "hello": Decoder(frames.decode_hello, ProtocolError, hellos),
        "request": Decoder(frames.decode_up, ProtocolError, up),
        "stream": Decoder(_split, ProtocolError, [b"".join(len(body).to_bytes(4, "big") + body for body in up[:4])], False),
        "delivery": Decoder(frames.decode_down, ProtocolError, [encoder.encode([Downlink(9, body)]) for body in DELIVERIES]),
        "greeting": Decoder(_greeting, frames.DECODE_ERRORS, [encoder.encode(word) for word in greetings]),
        "channel": Decoder(_channel, ProtocolError, [encoder.encode(channel), encoder.encode(70_000)]),
        "message in parts": Decoder(_message, ProtocolError, [encoder.encode(message) for message in channel]),
        "session request": Decoder(_session_request, ProtocolError, [encoder.encode(request) for request in ASKED]),
        "word to the node": Decoder(words.to_node.decode, ProtocolError, [encoder.encode(word) for word in to_node]),
        "word to the guardian": Decoder(words.to_guardian.decode, ProtocolError, [encoder.encode(word) for word in to_guardian]),
        "fork order": Decoder(words.fork_order.decode, ProtocolError, [encoder.encode(words.ForkOrder(3, 4))]),
        "fork refusal": Decoder(words.fork_refused.decode, ProtocolError, [encoder.encode(words.ForkRefused(3, 11))]),
        "ledger record": Decoder(recovery.decode_record, LedgerInvalid, [encoder.encode((1.5, event)) for event in events]),
        "ledger": Decoder(_ledger, LedgerInvalid, [_ledger_bytes()], False),
        "snapshot": Decoder(_restore, LedgerInvalid, [World().kernel.snapshot()]),
        "status page": Decoder(_status_page, (), [_page_bytes({"error": {"type": "E", "text": "x" * 50}})], False),
    }


def _split(data: bytes) -> object:
    return listener._frames(bytearray(data))


def _greeting(data: bytes) -> object:
    return msgspec.msgpack.decode(data, type=Welcome | Farewell)


def _channel(data: bytes) -> object:
    said = frames.decode_channel(data)
    assert isinstance(said, int) or all(isinstance(message, (Call, Cast, Info, Reply)) for message in said)
    return said


def _message(data: bytes) -> object:
    return frames.decode_message(memoryview(data))


def _session_request(data: bytes) -> object:
    found = sessions.decode_request(msgspec.Raw(data))
    assert not isinstance(found, tuple) or found[0] == "invalid_message"
    return found


def _ledger_bytes() -> bytes:
    memory = bytearray(4096 + 2 * 512)
    ledger = Ledger.create(memoryview(memory))
    for number in range(5):
        ledger.append(bytes([number]) * (10 + number))
    return bytes(memory[:64]) + bytes(memory[4096:4300])


def _ledger(data: bytes) -> object:
    """The words that count, spread over a memory of the right size."""
    memory = bytearray(4096 + 2 * 512)
    memory[:64] = data[:64].ljust(64, b"\0")
    memory[4096 : 4096 + 512] = data[64 : 64 + 512].ljust(512, b"\0")
    with memoryview(memory) as view:
        ledger = Ledger.open(view)
        try:
            return ledger.load()
        finally:
            ledger.close()


def _restore(data: bytes) -> object:
    kernel = Kernel(1, {"sessions": Sessions()})
    recovery.restore(kernel, data)
    return kernel


def _page_bytes(reason: object) -> bytes:
    page = bytearray(PAGE_BYTES)
    StatusPage(memoryview(page)).declare(reason)
    return bytes(page)


def _status_page(data: bytes) -> object:
    reason = declared_reason(memoryview(data[:PAGE_BYTES].ljust(PAGE_BYTES, b"\0")))
    assert reason is None or isinstance(reason, (str, dict))
    return reason


class World:
    """A kernel with a client and a process, in which every request that decodes can be made."""

    def __init__(self) -> None:
        self.kernel = Kernel(1, {"sessions": Sessions()})
        self.serial = 0
        self.do(ClientAttached(0, b"", 1))
        self.client = self.kernel.table.last_client
        self.sessions = self.kernel.table.published()["system:sessions"]
        self.do(Asked(self.client, 1, Spawn(ProcessSpec("m:f", name="ada"), wait_init=False)))
        self.do(Born(self.client + 1, 2))
        self.do(Booted(self.client + 1))
        self.number = 1

    def ask(self, body: Request) -> None:
        """As the node does it: into the ledger, through the kernel, out as frames."""
        self.number += 1
        self.do(Asked(self.client, self.number, body))

    def do(self, event: Event) -> None:
        record = node._encode((1.0, event))
        assert recovery.decode_record(record)[1] == event or "nan" in repr(event)
        encoder.encode(self.kernel.handle(event, 1.0))


_PLAIN: list[object] = [
    None, True, 0, -1, 1, 5, 2**31, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0.0, -1.5, float("nan"), float("inf"), float("-inf"),
    "", "ada", "system:node", "x" * 300, "nul\0", "line\nline", "\x1b]0;x\x07", "\u202e", "kill", "normal", "lean", "module:name",
    b"", b"\0" * 16, [], [[]], [1] * 300, {}, {"a": 1}, {"kill": None}, {1: 2}, {None: 1}, {"a": {b"b": [1, {True: 2}]}},
    msgspec.Raw(DEEP), [{}] * 9000, msgspec.msgpack.Ext(1, bytes(16)), msgspec.msgpack.Ext(1, b"short"),
    msgspec.msgpack.Ext(7, b""),
]  # fmt: skip
VALUES = [msgspec.Raw(msgspec.msgpack.encode(value)) for value in _PLAIN]
LIKE = {kind: [raw for raw, value in zip(VALUES, _PLAIN, strict=True) if isinstance(value, kind)]
        for kind in (bool, int, float, str, bytes, list, dict)}  # fmt: skip


def mutated(chance: random.Random, decoder: Decoder) -> bytes:
    """One of its valid inputs, with some values replaced, or after some accidents to its bytes."""
    whole = chance.choice(decoder.valid)
    if decoder.is_msgpack and chance.random() < 0.5:
        return _replaced(chance, whole)
    return _mangled(chance, whole, decoder.valid)


def _replaced(chance: random.Random, whole: bytes) -> bytes:
    tree = [msgspec.msgpack.decode(whole, ext_hook=msgspec.msgpack.Ext)]
    for _ in range(1 + chance.getrandbits(1)):
        node: object = tree
        while True:
            keys = list(range(len(node)) if isinstance(node, list) else node)  # type: ignore[arg-type, call-overload]
            key = chance.choice(keys)
            inner = node[key]  # type: ignore[index]
            if isinstance(inner, (list, dict)) and inner and chance.random() < 0.9:
                node = inner
                continue
            like = LIKE.get(type(inner), VALUES)  # type: ignore[arg-type]
            node[key] = chance.choice(like if chance.random() < 0.7 else VALUES)  # type: ignore[index]
            break
    return msgspec.msgpack.encode(tree[0])


def _mangled(chance: random.Random, whole: bytes, valid: list[bytes]) -> bytes:
    data = bytearray(whole)
    dice = chance.getrandbits(2)
    for _ in range(dice + 1):
        at = int(chance.random() * (len(data) + 1))
        match int(chance.random() * 8):
            case 0 | 1 if at < len(data):
                data[at] ^= 1 << chance.getrandbits(3)
            case 2 if at < len(data):
                data[at] = chance.getrandbits(8)
            case 3:
                del data[at:]
            case 4:
                data[at : at + chance.getrandbits(4)] = b""
            case 5:
                data[at:at] = chance.choice(JUNK)
            case 6:
                junk = chance.choice(JUNK)
                data[at : at + len(junk)] = junk
            case _:
                other = chance.choice(valid)
                data[at:] = other[int(chance.random() * len(other)) :]
    return bytes(data)
