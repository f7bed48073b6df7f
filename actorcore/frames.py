"""Frames: how the vocabulary becomes bytes, and the caps on every length.

One SEQPACKET datagram carries a list of messages; a descriptor travels only with a datagram of one message.

- *down*: node → process, ``[[seq, delivery], …]``; ``seq`` rises by one per receiver, a repeat is dropped.
- *up*: process → node, ``[said, …]``; requests carry the sender's rising number, a repeat is dropped.
- *channel*: process ↔ process, ``[message, …]``; bodies stay raw until their addressee decodes them. A number instead
  of a list: one message of so many bytes follows, in datagrams of nothing but its bytes. ``[]`` opens the channel. A
  negative number is a mark: the sender's exit signal of that number, which goes through the node, comes before the rest.

Clients speak *up* and *down* with the same bytes behind a 4-byte big-endian length, after a hello.
"""

from __future__ import annotations

from typing import TypeAlias, Union

import msgspec

from actorcore import terms
from actorcore.errors import ProtocolError, RequestError
from actorcore.exit_reason import Reason, Term
from actorcore.pids import EXT_PID, Pid, pack_pid, unpack_pid
from actorcore.signals import Ask, Booted, Born, Delivery, Refused, Request, SendExit, Spawn, Word

PROTOCOL_VERSION = 4
MAX_FRAME_BYTES = 1 << 20
"""What the node sends to a client; a larger length is refused before anything is allocated."""
MAX_REQUEST_BYTES = 56 << 10
"""What a process or client says to the node at once: a Begin, Exit or Down made of it still fits into a datagram."""
MAX_DATAGRAM_BYTES = 64 << 10
"""A datagram of ours; larger messages on a channel go in parts."""
BATCH_MESSAGES = 64
BATCH_BYTES = 32 << 10


class Downlink(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One delivery as frame ``seq`` of its receiver."""

    seq: int
    body: Delivery


class Numbered(Word, frozen=True, tag="numbered"):
    """Request ``number`` of its sender."""

    number: int
    body: Request


class Got(Word, frozen=True, tag="got"):
    """A client has every delivery up to ``seq``."""

    seq: int


Uplink: TypeAlias = Union[Numbered, Born, Booted, Refused, Got]


class Call(Word, frozen=True, tag="call"):
    """A request that wants a Reply with the same ``number``."""

    number: int
    body: msgspec.Raw


class Cast(Word, frozen=True, tag="cast"):
    body: msgspec.Raw


class Info(Word, frozen=True, tag="info"):
    """A plain message, as OTP's ``!``."""

    body: msgspec.Raw


class Reply(Word, frozen=True, tag="reply"):
    """The answer to Call ``number``: ``body``, or ``error`` = (code, detail)."""

    number: int
    body: msgspec.Raw = msgspec.Raw(b"\xc0")
    error: tuple[str, Term] | None = None


class System(Word, frozen=True, tag="system"):
    """A word to the behaviour of the receiver, not to its code (OTP's sys): one of :mod:`actorcore.system_words`.

    ``number`` as of Call; 0: no answer is wanted.
    """

    number: int
    body: msgspec.Raw


Message: TypeAlias = Union[Call, Cast, Info, Reply, System]
Said: TypeAlias = Union[list[Message], int]
"""One datagram of a channel."""


class Hello(Word, frozen=True, tag="hello"):
    """The first frame of a client. ``serial`` 0 with an empty secret: a new client; else one that returns.

    ``acknowledged``: the last delivery that has arrived; later ones are sent again.
    """

    version: int
    serial: int = 0
    secret: bytes = b""
    acknowledged: int = 0


class Welcome(Word, frozen=True, tag="welcome"):
    """The node's answer to Hello. ``registry``: with it comes a descriptor of the registry, to read (else: ask for names)."""

    version: int
    instance: int
    serial: int
    secret: bytes
    registry: bool = False


class Farewell(Word, frozen=True, tag="farewell"):
    """The node closes the connection: why (one of errors.CODES)."""

    code: str
    detail: str = ""


def _encode_hook(value: object) -> msgspec.msgpack.Ext:
    if isinstance(value, Pid):
        return msgspec.msgpack.Ext(EXT_PID, pack_pid(value))
    raise NotImplementedError(f"{type(value).__name__} is not plain data")


def decode_ext(code: int, data: memoryview) -> Pid:
    """msgspec's hook for the one extension there is."""
    if code != EXT_PID:
        raise ValueError(f"unknown extension {code}")
    return unpack_pid(data)


encoder = msgspec.msgpack.Encoder(enc_hook=_encode_hook)
down_decoder = msgspec.msgpack.Decoder(list[Downlink], ext_hook=decode_ext)
up_decoder = msgspec.msgpack.Decoder(list[Uplink], ext_hook=decode_ext)
channel_decoder: msgspec.msgpack.Decoder[Said] = msgspec.msgpack.Decoder(Said, ext_hook=decode_ext)
message_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message, ext_hook=decode_ext)
term_decoder: msgspec.msgpack.Decoder[Term] = msgspec.msgpack.Decoder(ext_hook=decode_ext)

_hello_decoder = msgspec.msgpack.Decoder(Hello)

# msgspec raises four families on hostile bytes (RELIABILITY F11); and many small things may need too much memory.
DECODE_ERRORS = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError, OverflowError, MemoryError)
ENCODE_ERRORS = (TypeError, NotImplementedError, RecursionError, ValueError, OverflowError)


def encode_request(number: int, body: Request) -> bytes:
    """A frame with request ``number``, as :func:`decode_up` takes it.

    :raises RequestError: ``invalid_message``, it is no plain data; ``value_too_long``.
    """
    data = b"\x91" + encode(Numbered(number, body))
    if len(data) > MAX_REQUEST_BYTES:
        raise RequestError("value_too_long", f"a request of {len(data)} bytes, at most {MAX_REQUEST_BYTES}")
    if not isinstance(body, Ask):  # whose body is another's; a wrong type must not cost the connection
        try:
            decode_up(data)
        except ProtocolError as error:
            raise RequestError("invalid_message", str(error)) from None
    return data


def check_reason(reason: object) -> None:
    """Refuse what no process can end with.

    :raises RequestError: ``invalid_message``.
    """
    if not isinstance(reason, (str, dict)):
        raise RequestError("invalid_message", f"a reason is a text or a map, not {type(reason).__name__}")
    encode(reason)


def encode(value: object) -> bytes:
    """``value`` as msgpack; raises RequestError ``invalid_message`` for what is no plain data."""
    try:
        return encoder.encode(value)
    except ENCODE_ERRORS as error:
        raise no_plain_data(error) from None


def no_plain_data(error: Exception) -> RequestError:
    """What becomes of one of ``ENCODE_ERRORS``: it is the sender's mistake."""
    return RequestError("invalid_message", _short(error))


def decode_hello(data: bytes) -> Hello:
    """The first frame of a client; raises ProtocolError on anything else."""
    try:
        return _hello_decoder.decode(data)
    except DECODE_ERRORS as error:
        raise ProtocolError(_short(error)) from None


def decode_up(data: bytes | memoryview) -> list[Uplink]:
    """What a process or client said; raises ProtocolError on anything else, and on terms that would cost the node time."""
    if len(data) > MAX_REQUEST_BYTES:
        raise ProtocolError(f"{len(data)} bytes at once")
    try:
        said = up_decoder.decode(data)
    except DECODE_ERRORS as error:
        raise ProtocolError(_short(error)) from None
    for message in said:
        kind = type(message)
        if kind is Numbered:
            body = message.body  # type: ignore[union-attr]
            if type(body) is Spawn:
                _check(body.spec.args)
            elif type(body) is SendExit:
                _check(body.reason)
        elif kind is Refused:
            _check(message.reason)  # type: ignore[union-attr]
    return said


def _check(term: object) -> None:
    trouble = terms.trouble_with(term)
    if trouble is not None:
        raise ProtocolError(trouble)


def decode_down(data: bytes | memoryview) -> list[Downlink]:
    """Deliveries of one datagram; raises ProtocolError."""
    try:
        return down_decoder.decode(data)
    except DECODE_ERRORS as error:
        raise ProtocolError(_short(error)) from None


def decode_channel(data: bytes) -> Said:
    """Messages of one datagram, or the size of the message that follows in parts; raises ProtocolError."""
    try:
        return channel_decoder.decode(data)
    except DECODE_ERRORS as error:
        raise ProtocolError(_short(error)) from None


def decode_message(data: memoryview) -> Message:
    """The message that came in parts; its body stays a view of ``data``. Raises ProtocolError."""
    try:
        return message_decoder.decode(data)
    except DECODE_ERRORS as error:
        raise ProtocolError(_short(error)) from None


def failure(reason: Reason) -> tuple[str, Term]:
    """The error of an Answer or Reply that tells a death."""
    return ("process_not_alive", reason)


def _short(error: BaseException) -> str:
    return str(error)[:200] or type(error).__name__
