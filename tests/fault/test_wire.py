"""RELIABILITY table E: hostile bytes on the daemon's socket; a client beside it notices nothing."""

from __future__ import annotations

import json
import random
import socket
import struct
import time

import msgspec
import pytest

from actorcore.errors import RequestError
from actorcore.frames import MAX_REQUEST_BYTES, PROTOCOL_VERSION, Farewell, encoder
from supervisors import paths
from supervisors.tree.session_words import ListSessions
from tests.daemon_fixture import WAIT_S, Desk, descriptors_beyond
from tests.fault.wire import REFUSED, dialled, farewell_of, frame_of, framed, greeted, hello, send, until_eof, whereis

HOSTILE = {
    "E1_zero_length": bytes(4),
    "E2_length_2_32": b"\xff\xff\xff\xff",
    "E2_length_2_31": b"\x80\0\0\0",
    "E2_E6_a_million_arrays": framed(b"\x91" * 1_000_000 + b"\xc0"),
    "E2_length_cap_plus_1": (MAX_REQUEST_BYTES + 1).to_bytes(4, "big"),
    "E5_http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "E5_tls": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(64),
    "E5_random": random.Random(5).randbytes(4096),
    "E5_garbage_in_a_frame": framed(random.Random(6).randbytes(300)),
    "E6_depth_900": framed(b"\x91" * 900 + b"\xc0"),
    "E6_depth_57343": framed(b"\x91" * (MAX_REQUEST_BYTES - 1) + b"\xc0"),
    "E7_array_bomb": framed(b"\xdd\xff\xff\xff\xff"),
    "E7_map_bomb": framed(b"\xdf\xff\xff\xff\xff"),
    "E7_str_bomb": framed(b"\xdb\xff\xff\xff\xff"),
    "E7_bin_bomb": framed(b"\xc6\xff\xff\xff\xff"),
    "E7_ext_bomb": framed(b"\xc9\xff\xff\xff\xff\x01"),
    "E9_invalid_utf8": framed(b"\x92\xa7numbered\xa2\xff\xfe"),
    "E10_huge_integer": framed(b"\x92\xa5hello\xcf" + b"\xff" * 8),
    "E10_unknown_tag": framed(encoder.encode(["nonsense", 1])),
    "E10_too_many_fields": framed(encoder.encode(["hello", 1, 0, b"", 0, 5])),
    "E13_message_before_hello": whereis(1, "ada"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_E1_to_E13_before_hello_is_refused_and_closed(desk: Desk, name: str) -> None:
    newer = Farewell("unsupported_version", f"this daemon speaks version {PROTOCOL_VERSION}")
    with dialled(desk) as sock:
        send(sock, HOSTILE[name])
        sock.setblocking(True)
        sock.settimeout(WAIT_S)
        assert farewell_of(sock) == (newer if name == "E10_huge_integer" else REFUSED)


@pytest.mark.parametrize("data", [data for name, data in HOSTILE.items() if "E13" not in name],
                         ids=[name for name in HOSTILE if "E13" not in name])  # fmt: skip
def test_E1_to_E10_after_hello_is_refused_and_closed(desk: Desk, data: bytes) -> None:
    with dialled(desk) as sock:
        greeted(sock)
        send(sock, data)
        assert farewell_of(sock) == REFUSED


def test_E5_who_does_not_speak_the_protocol_leaves_at_most_a_line_a_second_in_the_log_and_none_that_it_has_written(
    desk: Desk,
) -> None:
    desk.client.node("status")
    before, began_s = len(desk.daemon.log.read_bytes()), time.monotonic()
    for _ in range(10):
        for data in HOSTILE.values():
            with dialled(desk) as sock:
                send(sock, data)
                sock.setblocking(True)
                assert isinstance(farewell_of(sock), Farewell)
    desk.client.node("status")
    took_s = time.monotonic() - began_s
    text = desk.daemon.log.read_bytes()[before:]
    records = [json.loads(line) for line in text.splitlines()]
    assert sum(record["kind"] == "protocol_error" for record in records) <= took_s + 1
    assert b"HTTP" not in text


@pytest.mark.parametrize("version", [0, PROTOCOL_VERSION - 1, PROTOCOL_VERSION + 1, 2**63 - 1])
def test_E13_another_version_is_refused_in_words(desk: Desk, version: int) -> None:
    with dialled(desk) as sock:
        sock.sendall(hello(version))
        assert farewell_of(sock) == Farewell("unsupported_version", f"this daemon speaks version {PROTOCOL_VERSION}")


def test_E3_E16_a_hello_cut_short_at_any_byte_is_closed_by_the_deadline(desk: Desk) -> None:
    whole = hello()
    socks = []
    try:
        for cut in range(len(whole)):
            socks.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            with paths.socket_address(desk.daemon.directory) as address:
                socks[-1].connect(address)
            socks[-1].settimeout(WAIT_S)
            send(socks[-1], whole[:cut])
        assert [farewell_of(sock) for sock in socks] == [Farewell("timeout", "no hello")] * len(whole)
    finally:
        for sock in socks:
            sock.close()


def test_E4_single_bytes_and_many_frames_in_one_send_are_the_same(desk: Desk) -> None:
    serial = desk.client.whereis("ada").serial
    answers = []
    for pieces in (1, 1 << 20):
        with dialled(desk) as sock:
            greeted(sock)
            data = b"".join(whereis(number, "ada") for number in range(1, 51))
            for at in range(0, len(data), pieces):
                sock.sendall(data[at : at + pieces])
            answers.append([msgspec.msgpack.decode(frame_of(sock)) for _ in range(50)])
    assert answers[0] == answers[1] == [[[at, ["answer", at, serial, None]]] for at in range(1, 51)]


@pytest.mark.parametrize("name", ["", "Upper", "nul\0", "x" * 65, "\x1b[31m", "rtl\u202e", ".dot", "system:mine"])
def test_E9_a_name_that_is_none_is_refused(desk: Desk, name: str) -> None:
    with pytest.raises(RequestError) as caught:
        desk.client.register(name)
    assert caught.value.code == ("reserved_key" if name.startswith("system:") else "invalid_key")


def test_E11_a_request_number_used_again_is_dropped(desk: Desk) -> None:
    with dialled(desk) as sock:
        greeted(sock)
        sock.sendall(whereis(5, "ada") + whereis(5, "barbara") + whereis(4, "barbara") + whereis(6, "nobody-has-it"))
        answers = [msgspec.msgpack.decode(frame_of(sock)) for _ in range(2)]
    serial = desk.client.whereis("ada").serial
    assert answers == [[[1, ["answer", 5, serial, None]]], [[2, ["answer", 6, None, None]]]]


def test_E11_another_clients_identity_needs_its_secret(desk: Desk) -> None:
    with dialled(desk) as sock:
        sock.sendall(hello(serial=desk.client.pid.serial, secret=bytes(16)))
        assert farewell_of(sock) == Farewell("expired", "this client is not known any more")


def test_E12_a_peer_that_shuts_its_writing_side_gets_its_answers_and_is_let_go(desk: Desk) -> None:
    with dialled(desk) as sock:
        greeted(sock)
        sock.sendall(whereis(1, "ada"))
        sock.shutdown(socket.SHUT_WR)
        assert msgspec.msgpack.decode(frame_of(sock)) == [[1, ["answer", 1, desk.client.whereis("ada").serial, None]]]
        assert until_eof(sock) == b""


@pytest.mark.parametrize("count", [1, 253])
@pytest.mark.parametrize("is_greeted", [False, True], ids=["with the hello", "with a request"])
def test_E14_descriptors_that_nobody_wants_are_closed_and_the_connection_too(desk: Desk, count: int, is_greeted: bool) -> None:
    before = descriptors_beyond(desk)
    with dialled(desk) as sock:
        if is_greeted:
            greeted(sock)
        rights = struct.pack(f"{count}i", *[sock.fileno()] * count)
        sock.sendmsg([whereis(1, "ada") if is_greeted else hello()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        assert farewell_of(sock) == REFUSED
    assert descriptors_beyond(desk) == before


def test_E15_a_bit_flipped_anywhere_never_hurts(desk: Desk) -> None:
    chance = random.Random(15)
    whole = bytearray(whereis(1, "ada"))
    node = desk.node_os_pid()
    for bit in chance.sample(range(8 * len(whole)), 100):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        with dialled(desk) as sock:
            greeted(sock)
            send(sock, bytes(flipped))
            sock.shutdown(socket.SHUT_WR)
            until_eof(sock)
    assert desk.node_os_pid() == node


def test_E16_connections_that_come_and_go_leave_no_descriptor(desk: Desk) -> None:
    before = descriptors_beyond(desk)
    for _ in range(1000):
        with dialled(desk):
            pass
    with dialled(desk) as last:  # accepted in order: when this one is answered, all before it have been taken
        last.sendall(hello(0))
        assert farewell_of(last) == Farewell("unsupported_version", f"this daemon speaks version {PROTOCOL_VERSION}")
    desk.node_os_pid()  # a turn of the node later their ends have been read too
    node = desk.node_os_pid()
    assert desk.client.call("ada", ["state", None]) == desk.before["ada"]
    assert (descriptors_beyond(desk), desk.node_os_pid()) == (before, node)


def test_E17_a_list_comes_in_pages(desk: Desk) -> None:
    page = desk.client.call("system:sessions", ListSessions(0, 2))
    rest = desk.client.call("system:sessions", ListSessions(page["next"], 2))
    assert [[row["id"] for row in some["sessions"]] for some in (page, rest)] == [["ada", "barbara"], ["grace"]]
    assert rest["next"] is None
