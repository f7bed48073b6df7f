"""Acceptance 127–130, 132–135, RELIABILITY F1'–F5', F8', R11: nothing is believed that was not written here, for this session."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from actorcore import faults
from actorcore.errors import RequestError
from supervisors.persistence import database_files, proof, snapshot as snapshots
from supervisors.persistence.database import Database
from supervisors.persistence.signing import InvalidRing, Ring, decode_ring, encode_ring
from supervisors.persistence.snapshot import InvalidSnapshot, Snapshot, decode, decode_unsigned, encode, key_number_of, upgraded
from tests.conftest import Size, Tell

ID, OTHER = (str(uuid.UUID(int=number, version=4)) for number in (1, 2))
RING = Ring({1: b"s" * 32})
KEYS = RING.keys_of(ID)
SNAPSHOT = Snapshot(ID, 3, 7, 12.5, {"name": "one", "path": "/srv/ä"}, b"\x00state\xff", [b"record"])
TEXT = encode(SNAPSHOT, KEYS)
FALSE = "signature_verification_failed"


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(RequestError) as caught:
        act()
    return caught.value.code


def changed(**fields: object) -> bytes:
    """TEXT with other fields, and the signature that it had; None takes a field away."""
    plain = {**msgspec.json.decode(TEXT), **fields}
    kept = {name: value for name, value in plain.items() if value is not None}
    return msgspec.json.Encoder(order="sorted").encode(kept)


def test_what_was_signed_is_read_again_in_its_one_form() -> None:
    assert decode(TEXT, ID, KEYS) == SNAPSHOT
    assert encode(decode(TEXT, ID, KEYS), KEYS) == TEXT


def test_F1_acceptance_127_every_bit_and_every_length_of_a_snapshot_counts() -> None:
    accepted = [bit for bit in range(len(TEXT) * 8) if is_believed(flipped(TEXT, bit))]
    cut = [size for size in range(len(TEXT)) if is_believed(TEXT[:size])]
    assert (accepted, cut, is_believed(TEXT + b" "), is_believed(TEXT)) == ([], [], False, True)


def flipped(data: bytes, bit: int) -> bytes:
    at = bit // 8
    return data[:at] + bytes([data[at] ^ 1 << bit % 8]) + data[at + 1 :]


def is_believed(data: bytes) -> bool:
    try:
        decode(data, ID, KEYS)
    except RequestError:
        return False
    return True


def test_F2_acceptance_128_a_snapshot_without_its_signature_is_refused_but_by_an_import_that_was_told_to_believe_it() -> None:
    assert code_of(lambda: decode(changed(mac=None), ID, KEYS)) == FALSE
    assert decode_unsigned(changed(mac=None)) == SNAPSHOT


def strips(data: bytes, id: str, keys: object) -> Snapshot:
    """Known bad: what has no signature needs none."""
    return decode_unsigned(data) if "mac" not in msgspec.json.decode(data) else decode(data, id, KEYS)


def test_a_decoder_that_lets_the_signature_be_stripped_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "decode", strips)
    assert snapshots.decode(changed(mac=None, generation=9), ID, KEYS).generation == 9


@pytest.mark.parametrize("field", sorted({"format", "version", "key", *Snapshot.__struct_fields__}))
def test_F3_the_signature_covers(field: str) -> None:
    other = {"version": 1, "key": 1}.get(field, "x")
    assert is_believed(changed(**{field: other})) is (field in ("version", "key"))
    assert not is_believed(changed(**{field: 2}))


def test_F4_acceptance_129_130_another_session_s_and_another_machine_s_are_refused() -> None:
    assert code_of(lambda: decode(TEXT, OTHER, RING.keys_of(OTHER))) == FALSE
    assert code_of(lambda: decode(TEXT, ID, Ring({1: b"t" * 32}).keys_of(ID))) == FALSE


def test_acceptance_132_a_new_key_signs_and_the_old_one_is_still_believed() -> None:
    later = RING.rotated(b"n" * 32)
    assert decode(TEXT, ID, later.keys_of(ID)) == SNAPSHOT
    signed = encode(SNAPSHOT, later.keys_of(ID))
    assert (snapshots.key_number_of(TEXT), snapshots.key_number_of(signed)) == (1, 2)
    assert code_of(lambda: decode(signed, ID, KEYS)) == FALSE


@pytest.mark.parametrize(("version", "code"), [
    (2, "unsupported_version"), (0, "invalid_version"), (-1, "invalid_version"), ("1", "invalid_version"),
    (1.0, "invalid_version"), (True, "invalid_version"), (None, "invalid_version"),
])  # fmt: skip
def test_acceptance_134_versions(version: object, code: str) -> None:
    assert code_of(lambda: decode(changed(version=version), ID, KEYS)) == code


def test_acceptance_134_all_missing_fields_are_named() -> None:
    with pytest.raises(RequestError) as caught:
        decode(changed(content=None, generation=None, session=None), ID, KEYS)
    assert (caught.value.code, caught.value.detail) == ("missing_fields", "generation, session, content")
    with pytest.raises(RequestError) as caught:
        decode_unsigned(changed(content=None))
    assert (caught.value.code, caught.value.detail) == ("missing_fields", "content")


@pytest.mark.parametrize(("fields", "code", "detail"), [
    ({"format": "another"}, "invalid_field", "format"), ({"generation": "3"}, "invalid_field", "generation"),
    ({"id": "none"}, "invalid_id", "not a UUID of version 4"), ({"number": -1}, "invalid_field", "number"),
])  # fmt: skip
def test_what_is_signed_by_nobody_is_looked_at_as_closely(fields: dict[str, object], code: str, detail: str) -> None:
    with pytest.raises(RequestError) as caught:
        decode_unsigned(changed(**fields))
    assert (caught.value.code, caught.value.detail) == (code, detail)
    assert decode_unsigned(changed(mac=None)) == SNAPSHOT


def test_a_snapshot_of_one_session_is_not_another_s_even_by_its_own_keys() -> None:
    assert code_of(lambda: decode(TEXT, OTHER, KEYS)) == FALSE


def test_a_text_may_be_exactly_as_long_as_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MAX_BYTES", len(TEXT))
    assert encode(SNAPSHOT, KEYS) == TEXT
    monkeypatch.setattr(snapshots, "MAX_BYTES", len(TEXT) - 1)
    assert code_of(lambda: encode(SNAPSHOT, KEYS)) == "file_too_large"


def test_an_older_version_is_made_newer_step_by_step() -> None:
    steps = {1: lambda fields: {**fields, "two": 2}, 2: lambda fields: {**fields, "three": fields["two"] + 1}}
    assert upgraded({"version": 1}, steps, 3) == {"version": 3, "two": 2, "three": 3}


@pytest.mark.parametrize(("data", "code"), [
    (b"", "invalid_json"), (TEXT[:-10], "invalid_json"), (b"\xff\xfe", "invalid_json"), (b'{"a": "\xff"}', "invalid_json"),
    (b"[" * 100_000, "invalid_json"), (b"[" * 100_000 + b"]" * 100_000, "invalid_json"), (b"not json", "invalid_json"),
    (b"[]", "not_a_map"), (b"3", "not_a_map"), (b"null", "not_a_map"), (b"{}", "invalid_version"),
    (b" " * (snapshots.MAX_BYTES + 1), "file_too_large"),
])  # fmt: skip
def test_F7_acceptance_135_what_is_no_snapshot_is_refused_at_once(data: bytes, code: str) -> None:
    started = time.process_time()
    assert code_of(lambda: decode(data, ID, KEYS)) == code
    assert time.process_time() - started < 5


def test_acceptance_113_a_session_over_10_MiB_has_an_error_of_its_own() -> None:
    big = msgspec.structs.replace(SNAPSHOT, content=bytes(snapshots.MAX_BYTES))
    assert code_of(lambda: encode(big, KEYS)) == "file_too_large"


def test_a_record_that_is_no_json_is_refused() -> None:
    assert code_of(lambda: encode(msgspec.structs.replace(SNAPSHOT, session={"a": object()}), KEYS)) == "json_encode_error"  # type: ignore[dict-item]


@pytest.mark.parametrize("id", [
    "", "../../etc/passwd", "/etc/passwd", f"{ID}\0", ID.upper().replace("0", "A"), f"{ID}\n", "%2e%2e", "x" * 36,
    str(uuid.UUID(int=1, version=1)), 7, None,
])  # fmt: skip
def test_F8_acceptance_119_what_is_no_id_names_no_file(id: object) -> None:
    assert code_of(lambda: snapshots.check_id(id)) == "invalid_id"


def test_acceptance_131_a_ring_is_whole_or_refused() -> None:
    ring = RING.rotated(b"n" * 32)
    data = encode_ring(ring)
    assert decode_ring(data) == ring
    for bad in [*(data[:size] for size in range(len(data))), *(flipped(data, bit) for bit in range(len(data) * 8)), data + data]:
        with pytest.raises(InvalidRing):
            decode_ring(bad)


def test_S14_no_key_and_no_secret_is_shown() -> None:
    assert (repr(RING), repr(KEYS)) == ("Ring([1])", "Keys([1])")


# ---- R11: whole databases -----------------------------------------------------------------------------------------------


class Victim:
    """A session's folder that is tampered with, and what an honest reader finds in it.

    ``is_saving``: it was killed when the head told of a save that was still in SQLite's log; else it was after some records.
    """

    def __init__(self, root: str, is_saving: bool) -> None:
        self.folder = f"{root}/{ID}"
        self.pristine = f"{root}/pristine"
        database = Database(self.folder, ID, KEYS)
        database.open()
        for number in range(8):
            database.append([b"record %d" % number * 9])
        self.older = f"{root}/older"
        self.copied(self.older, lambda: database.checkpoint({"name": "zero"}, b"state before"))
        database.checkpoint({"name": "one"}, b"state")
        for number in range(6):
            database.append([b"later %d" % number * 9])
        if is_saving:
            self.copied(self.pristine, lambda: database.checkpoint({"name": "two"}, b"state later"))
            shutil.copy(f"{self.folder}/head", self.pristine)
        else:
            shutil.copytree(self.folder, self.pristine)
        database.close()
        self.names = sorted(os.listdir(self.pristine))
        self.files = {name: Path(self.pristine, name).read_bytes() for name in self.names}
        shutil.rmtree(self.folder)
        shutil.copytree(self.pristine, self.folder)
        self.counting = ["head", "1.db-wal"] if is_saving else ["head", "1.db", "1.db-log"]
        self.truth = self.read()

    def copied(self, to: str, checkpoint: Callable[[], object]) -> None:
        """Save, and leave a copy of the folder from when the save was in SQLite's log."""
        faults.hook = lambda name: name == "database.checkpointed" and shutil.copytree(self.folder, to)
        checkpoint()
        faults.hook = None

    def read(self) -> object:
        """What is believed; a RequestError's code when it is refused."""
        try:
            head = proof.decode_head(Path(self.folder, "head").read_bytes(), KEYS)
            if head is None:
                return "head: missing"
            content = database_files.read(f"{self.folder}/{head.epoch}.db", ID, KEYS)
            proof.check_head(head, content)
            proof.check_generation(3, content)
        except RequestError as error:
            return error.code
        except (OSError, sqlite3.Error) as error:
            return type(error).__name__
        return content

    def put(self, name: str, data: bytes) -> None:
        fd = os.open(f"{self.folder}/{name}", os.O_WRONLY | os.O_TRUNC | os.O_CREAT, 0o600)
        os.write(fd, data)
        os.close(fd)


@pytest.fixture(params=[False, True], ids=["talking", "saving"])
def victim(request: pytest.FixtureRequest) -> Iterator[Victim]:
    """The first has records in our log, and SQLite's is folded; the second has the newest save in SQLite's log."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as root:
        yield Victim(root, request.param)


def tampered(victim: Victim, chance: random.Random) -> str:
    """Change one thing, as a thief or a bad disk would; what it was."""
    name = chance.choice(victim.names)
    data = victim.files[name]
    match chance.choice(("flip", "flip", "flip", "cut", "swap", "stale", "zero") if data else ("stale",)):
        case "flip":
            bit = chance.randrange(len(data) * 8)
            victim.put(name, flipped(data, bit))
            return f"{name}: bit {bit}"
        case "cut":
            size = chance.randrange(len(data))
            victim.put(name, data[:size])
            return f"{name}: cut to {size}"
        case "swap":
            block = 64
            one, other = (chance.randrange(max(1, len(data) // block)) * block for _ in range(2))
            swapped = bytearray(data)
            swapped[one : one + block], swapped[other : other + block] = data[other : other + block], data[one : one + block]
            victim.put(name, bytes(swapped))
            return f"{name}: {one} and {other} swapped"
        case "stale":
            older = Path(victim.older, name)
            victim.put(name, older.read_bytes() if older.exists() else b"")
            return f"{name}: an older one"
        case _:
            at = chance.randrange(len(data))
            victim.put(name, data[:at] + bytes(min(512, len(data) - at)) + data[at + 512 :])
            return f"{name}: zeros at {at}"


@pytest.mark.sized
def test_R11_F1_F5_acceptance_127_no_tampered_database_is_believed(victim: Victim, size: Size, tell: Tell) -> None:
    """Believed is what says anything else than what was saved; a bit that means nothing may change nothing."""
    chance = random.Random(11)
    tries = size("R11_TRIES", 10_000, 100_000, 1_000_000)
    refused = 0
    for attempt in range(tries):
        what = tampered(victim, chance)
        found = victim.read()
        is_refused = isinstance(found, str)
        assert is_refused is (found != victim.truth), f"try {attempt}: {what}: {found}"
        refused += is_refused
        for name in victim.names:
            if not (path := Path(victim.folder, name)).exists() or path.stat().st_size != len(victim.files[name]) or name in what:
                victim.put(name, victim.files[name])
    tell(f"R11: {tries:,} tampered databases, {refused:,} refused, {tries - refused:,} say what was saved, 0 believed")
    assert refused > tries // 3


def test_F5_an_older_save_in_the_place_of_a_newer_one_is_refused(victim: Victim) -> None:
    shutil.rmtree(victim.folder)
    shutil.copytree(victim.older, victim.folder)
    assert victim.read() == FALSE


def test_a_log_that_was_thrown_away_is_missed(victim: Victim) -> None:
    os.unlink(max((path for path in Path(victim.folder).glob("1.db-*") if path.stat().st_size), key=lambda path: path.name))
    assert victim.read() == FALSE


def test_acceptance_127_reading_what_is_refused_changes_no_byte(victim: Victim) -> None:
    for name in victim.counting:
        victim.put(name, flipped(victim.files[name], 77))
        before = {other: Path(victim.folder, other).read_bytes() for other in os.listdir(victim.folder)}
        assert isinstance(victim.read(), str)
        with pytest.raises(RequestError):
            Database(victim.folder, ID, KEYS).open()
        assert {other: Path(victim.folder, other).read_bytes() for other in os.listdir(victim.folder)} == before
        victim.put(name, victim.files[name])


def test_a_text_may_be_exactly_as_long_as_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = []
    for most in (1, 2):
        monkeypatch.setattr("supervisors.persistence.snapshot.MAX_BYTES", most)
        with pytest.raises(InvalidSnapshot) as error:
            key_number_of(b"{}")
        codes.append(error.value.code)
    assert codes == ["file_too_large", "invalid_version"]


@pytest.mark.parametrize("secrets", [{}, {1: b"short"}, {1: b"x" * 32, 2: b"y" * 33}])
def test_a_ring_has_secrets_and_each_its_length(secrets: dict[int, bytes]) -> None:
    with pytest.raises(InvalidRing, match="malformed"):
        decode_ring(encode_ring(Ring(secrets)))
