"""Acceptance 110–112, 131–133, 136–144, RELIABILITY F5', F9', F10', F17', F18', D1, D7: all saved sessions, and the secret."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from actorcore import faults
from actorcore.errors import RequestError
from actorcore.runtime.clock import wall_s
from supervisors.persistence import retention, secrets
from supervisors.persistence.database import Database
from supervisors.persistence.index import Index
from supervisors.persistence.notes import saved_note
from supervisors.persistence.retention import DAY_S, Cleanup, Limits
from supervisors.persistence.saved import SavedSession, by_project_path, newest_first, resumable
from supervisors.persistence.signing import Keys
from supervisors.persistence.state_directory import DELETED
from supervisors.persistence.vault import Vault
from supervisors.session.records import SessionChanged, encode_record
from tests.persistence.test_shortage import needs_root

ROOT = Path(__file__).parents[2]


@pytest.fixture
def state() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield f"{folder}/state"
    while OPENED:
        OPENED.pop().close()


@pytest.fixture
def vault(state: str) -> Vault:
    return opened(state)


OPENED: list[Vault] = []


def opened(state: str, **limits: Any) -> Vault:
    """Another life of the store: in one process every lock is one's own (fcntl(2))."""
    found = Vault(state, Limits(**limits))
    OPENED.append(found)
    found.prepare()
    return found


def id_of(number: int) -> str:
    return str(uuid.UUID(int=number, version=4))


def open_session(vault: Vault, number: int, path: str = "") -> Database:
    """As its process does: all of it is there, and it is running."""
    id = id_of(number)
    grant = vault.grant(id)
    database = Database(grant.folder, id, Keys(grant.keys))
    database.open(grant.generation)
    record = {"id": id, "name": f"n{number}", "project": {"path": path or f"/p/{number}"}, "created_at": 1.0}
    database.append([encode_record(SessionChanged(record, 0.0))])
    generation = database.checkpoint(record, b"state %d" % number).generation
    vault.note(saved_note(id, Keys(grant.keys), generation, record))
    vault.write_index()
    return database


def save(vault: Vault, *numbers: int) -> None:
    for number in numbers:
        open_session(vault, number).close()


def ids(vault: Vault) -> list[str]:
    return [line.id for line in vault.survey().sessions]


def refusal(act: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(RequestError) as caught:
        act()
    return caught.value.code, caught.value.detail


# ---- the secret -------------------------------------------------------------------------------------------------------


def test_F9_acceptance_131_the_secret_is_made_once_0600_and_random(vault: Vault, state: str) -> None:
    ring = vault.ring()
    keys = Path(state, secrets.NAME)
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert opened(state).ring() == ring
    with tempfile.TemporaryDirectory() as other:
        assert opened(f"{other}/state").ring() != ring


@pytest.mark.parametrize(("spoil", "why"), [
    (lambda keys: keys.unlink(), "missing"), (lambda keys: keys.write_bytes(b""), "cut or changed"),
    (lambda keys: keys.write_bytes(keys.read_bytes()[:-3]), "cut or changed"), (lambda keys: keys.chmod(0o644), "not ours alone"),
])  # fmt: skip
def test_F9_acceptance_131_without_its_secret_nothing_is_saved_and_nothing_is_replaced(
    vault: Vault, state: str, spoil: Callable[[Path], object], why: str
) -> None:
    save(vault, 1)
    keys = Path(state, secrets.NAME)
    before = keys.read_bytes()
    spoil(keys)
    left = keys.read_bytes() if keys.exists() else None
    later = opened(state)
    for act in (lambda: later.grant(id_of(2)), later.survey, lambda: later.get(id_of(1)), lambda: later.rotate()):
        assert refusal(act) == ("secret_unusable", why)
    assert (keys.read_bytes() if keys.exists() else None) == left
    keys.write_bytes(before)
    keys.chmod(0o600)
    assert ids(later) == [id_of(1)]


def test_a_user_who_has_no_state_directories_at_all_gets_them(state: str) -> None:
    assert opened(f"{state}/local/actorcore").survey().sessions == []
    modes = [stat.S_IMODE(os.stat(path).st_mode) for path in (state, f"{state}/local", f"{state}/local/actorcore")]
    assert modes == [0o700] * 3


def test_acceptance_109_a_state_directory_that_others_can_enter_is_told_as_what_it_is(vault: Vault, state: str) -> None:
    save(vault, 1)
    os.chmod(state, 0o755)
    assert refusal(lambda: opened(state).grant(id_of(2))) == ("path_permission_denied", "the state directory: not ours alone")
    os.chmod(state, 0o700)


def test_F10_acceptance_131_who_wants_a_secret_at_once_gets_the_same(state: str) -> None:
    os.mkdir(state, 0o700)
    program = "import sys; from supervisors.persistence.secrets import *; print(*ring_of(sys.argv[1], bool).secrets.values())"
    argv = [sys.executable, "-c", program, state]
    running = [subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(12)]
    said = {process.communicate()[0] for process in running}
    assert said == {f"{secrets.ring_of(state, lambda: True).secrets[1]!r}\n"}


def test_acceptance_132_after_a_rotation_old_saves_are_read_and_the_next_save_has_the_new_key(vault: Vault) -> None:
    save(vault, 1)
    assert vault.rotate() == 2
    _, content = vault.get(id_of(1))
    assert (content.key, content.snapshot.content) == (1, b"state 1")
    save(vault, 1)
    assert vault.get(id_of(1))[1].key == 2


def test_acceptance_133_the_secret_is_read_once(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.ring()
    monkeypatch.setattr(secrets, "ring_of", None)
    save(vault, 1, 2)


IN_ANOTHER_MACHINE = """
for file in /etc/machine-id /var/lib/dbus/machine-id; do [ ! -e $file ] || mount --bind "$1" $file || exit 1; done
shift; exec "$@"
"""


def test_D7_another_host_name_and_another_machine_id_change_nothing(vault: Vault, state: str, tmp_path: Path) -> None:
    save(vault, 1)
    other = tmp_path / "machine-id"
    other.write_text("f" * 32)
    program = (
        "import socket, sys; from pathlib import Path; from supervisors.persistence.vault import Vault;"
        "socket.sethostname('other'); found = [Path(p) for p in ('/etc/machine-id', '/var/lib/dbus/machine-id')];"
        "print(socket.gethostname(), {path.read_text() for path in found if path.exists()} - {'f' * 32});"
        "print(Vault(sys.argv[1]).get(sys.argv[2])[1].snapshot.content)"
    )
    vault.close()
    argv = ["unshare", "--user", "--map-root-user", "--uts", "--mount", "sh", "-c", IN_ANOTHER_MACHINE, "sh", str(other)]
    done = subprocess.run([*argv, sys.executable, "-c", program, state, id_of(1)], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("other set()\nb'state 1'\n", "")


# ---- lists --------------------------------------------------------------------------------------------------------------


def test_acceptance_136_the_list_is_newest_first_passes_over_bad_ones_and_ignores_the_rest(vault: Vault, state: str) -> None:
    save(vault, 3, 1, 2)
    head = Path(state, "sessions", id_of(1), "head")
    head.write_bytes(head.read_bytes()[:-1] + b"x")
    for stranger in ("README", "sessions.bak"):
        Path(state, "sessions", stranger).mkdir()
    saved = vault.survey()
    assert ([line.name for line in saved.sessions], saved.bad) == (["n2", "n3"], {id_of(1): "signature_verification_failed"})


def test_acceptance_136_no_directory_is_an_empty_list_and_one_that_cannot_be_read_an_error(vault: Vault, state: str) -> None:
    vault.ring()
    shutil.rmtree(f"{state}/sessions")
    assert vault.survey().sessions == []
    Path(state, "sessions").write_text("")
    assert refusal(vault.survey) == ("path_not_directory", "enotdir")


def test_a_session_that_lives_is_listed_as_it_was_last_told(vault: Vault) -> None:
    database = open_session(vault, 1)
    (line,) = vault.survey().sessions
    assert (line.name, line.is_running) == ("n1", True)
    database.close()


def line(number: int, path: str, saved_at: float) -> SavedSession:
    return SavedSession(id_of(number), f"n{number}", path, 1, saved_at, 0.0)


LINES = [line(1, "/a", 5.0), line(2, "/b", 7.0), line(3, "/a", 6.0)]


def test_acceptance_137_138_what_can_be_resumed_and_the_newest_of_a_project() -> None:
    assert [one.id for one in newest_first(LINES)] == [id_of(2), id_of(3), id_of(1)]
    assert [one.id for one in resumable(LINES, {id_of(1)}, {"/b"})] == [id_of(3)]
    assert by_project_path(LINES, "/a") == LINES[2]
    assert by_project_path(LINES, "/c") is None


# ---- clean-up -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [0, -1, "3", 1.5, None, True])
def test_acceptance_139_days_are_a_whole_number(vault: Vault, days: object) -> None:
    assert refusal(lambda: vault.clean_up(days, 0.0)) == ("invalid_field", "days: a whole number from 1")


def test_acceptance_139_140_only_older_ones_go_and_a_bad_one_stops_nothing(
    vault: Vault, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisors.persistence.database.wall_s", lambda: 1000.0)
    save(vault, 1, 2, 3)
    monkeypatch.setattr("supervisors.persistence.database.wall_s", lambda: 1000.0 + 40 * DAY_S)
    save(vault, 4)
    head = Path(state, "sessions", id_of(3), "head")
    head.write_bytes(b"x" * 112)
    done = vault.clean_up(30, 1000.0 + 41 * DAY_S)
    assert done == Cleanup(2, 1, 1, {id_of(3): "signature_verification_failed"})
    assert (ids(vault), head.exists()) == ([id_of(4)], True)


@needs_root
def test_acceptance_140_143_one_that_cannot_be_deleted_is_told_and_the_others_go(vault: Vault) -> None:
    save(vault, 1, 2, 3)
    later, folder = wall_s() + 31 * DAY_S, vault.locate(id_of(2))
    subprocess.run(["mount", "--bind", folder, folder], check=True)  # which nobody renames
    try:
        assert refusal(lambda: vault.delete(id_of(2))) == ("write_failed", "ebusy")
        assert vault.clean_up(30, later) == Cleanup(2, 0, 1, {id_of(2): "write_failed"})
        assert (vault.clear(), ids(vault)) == (Cleanup(0, 0, 1, {id_of(2): "write_failed"}), [id_of(2)])
    finally:
        subprocess.run(["umount", folder], check=True)
    assert vault.clear() == Cleanup(1, 0, 0, {})


def test_acceptance_112_139_143_what_is_listed_is_never_deleted_nor_makes_room(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = {id_of(1): "/p/1"}
    vault = Vault(state, Limits(max_saved=2, auto_clean=True), listed=lambda: listed, may_go=lambda id: id not in listed)
    OPENED.append(vault)
    vault.prepare()
    monkeypatch.setattr("supervisors.persistence.database.wall_s", lambda: 1000.0)
    save(vault, 1, 2)
    assert [line.id for line in vault.resumable().sessions] == [id_of(2)]
    assert refusal(lambda: vault.delete(id_of(1))) == ("running", "the session is not stopped")
    save(vault, 3)  # the oldest is listed, so the next one goes
    assert sorted(ids(vault)) == sorted([id_of(1), id_of(3)])
    assert vault.clean_up(1, 1000.0 + 2 * DAY_S) == Cleanup(1, 1, 0, {})
    assert (vault.clear(), ids(vault)) == (Cleanup(0, 1, 0, {}), [id_of(1)])
    listed[id_of(4)] = "/p/4"
    save(vault, 4)
    assert refusal(lambda: vault.grant(id_of(5))) == ("session_limit_reached", "2/2 saved sessions")
    listed.clear()
    assert vault.clear() == Cleanup(2, 0, 0, {})


def test_acceptance_143_what_a_start_that_failed_has_left_makes_room_when_it_is_old(state: str) -> None:
    vault = opened(state, max_saved=3)
    save(vault, 1)
    for number in (2, 3):  # their databases are made, and their processes end before they have said who they are
        grant = vault.grant(id_of(number))
        database = Database(grant.folder, id_of(number), Keys(grant.keys))
        database.open()
        database.close()
    assert (ids(vault), refusal(lambda: vault.grant(id_of(4)))) == ([id_of(1)], ("session_limit_reached", "3/3 saved sessions"))
    for number in (1, 2):
        os.utime(f"{state}/sessions/{id_of(number)}", (0, 0))
    vault.grant(id_of(4))
    assert sorted(os.listdir(f"{state}/sessions")) == sorted([id_of(1), id_of(3), id_of(4)])


def refused_at_once(vault: Vault, number: int, point: str) -> None:
    """A start of session ``number``, whose record has ``created_at`` = ``number``, that came as far as ``point``."""
    id = id_of(number)
    grant = vault.grant(id)
    if point == "granted":
        return
    database = Database(grant.folder, id, Keys(grant.keys))
    database.open(grant.generation)
    if point == "said":
        record = {"id": id, "name": "n", "project": {"path": "/p"}, "created_at": float(number)}
        database.append([encode_record(SessionChanged(record, 0.0))])
    database._drop()  # as its death would
    if point == "created":  # its head was not written
        os.truncate(f"{grant.folder}/head", 0)


@pytest.mark.parametrize("point", ["granted", "created", "opened", "said"])
def test_acceptance_15_of_a_start_that_was_refused_nothing_stays(vault: Vault, state: str, point: str) -> None:
    save(vault, 1)
    refused_at_once(vault, 2, point)
    assert len(os.listdir(f"{state}/sessions")) == 2
    for number in (1, 2, 2, 3):
        vault.discard(id_of(number), 2.0)
    assert (os.listdir(f"{state}/sessions"), ids(vault)) == ([id_of(1)], [id_of(1)])


@pytest.mark.parametrize("point", ["granted", "created", "opened", "said"])
def test_acceptance_15_what_a_start_has_left_when_the_daemon_died_goes_unless_it_was_a_session_by_then(
    vault: Vault, state: str, point: str
) -> None:
    save(vault, 1)
    refused_at_once(vault, 2, point)
    refused_at_once(vault, 3, "said")
    os.unlink(f"{state}/sessions/{id_of(3)}/head")  # damaged: it may be mended
    stay = [id_of(1), id_of(3)] + ([id_of(2)] if point == "said" else [])
    vault.close()
    later = opened(state)
    assert later.forget_unborn() == (point != "said")
    assert sorted(os.listdir(f"{state}/sessions")) == sorted(stay)


def test_acceptance_15_what_another_start_has_saved_or_is_listed_is_not_discarded(state: str) -> None:
    listed = {id_of(3): "/p/3"}
    vault = Vault(state, Limits(), listed=lambda: listed)
    OPENED.append(vault)
    vault.prepare()
    refused_at_once(vault, 2, "said")
    refused_at_once(vault, 3, "granted")
    vault.discard(id_of(2), 3.0)  # that was another start
    assert vault.forget_unborn() == 0
    assert sorted(os.listdir(f"{state}/sessions")) == [id_of(2), id_of(3)]


def test_a_database_of_a_later_epoch_without_its_head_is_not_made_anew(vault: Vault, state: str) -> None:
    refused_at_once(vault, 2, "said")
    folder = f"{state}/sessions/{id_of(2)}"
    os.rename(f"{folder}/1.db", f"{folder}/2.db")
    os.unlink(f"{folder}/head")
    database = Database(folder, id_of(2), vault.ring().keys_of(id_of(2)))
    assert refusal(database.open) == ("signature_verification_failed", "head: missing")
    assert os.path.exists(f"{folder}/2.db")


def test_acceptance_141_by_itself_a_young_store_spares_what_did_not_end_in_order(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisors.persistence.database.wall_s", lambda: 1000.0)
    database = open_session(vault, 1)  # its locks are ours, so to this vault it is dead
    save(vault, 2)
    now = 1000.0 + 31 * DAY_S
    assert vault.clean_up(30, now, spares_running=True) == Cleanup(1, 1, 0, {})
    assert ids(vault) == [id_of(1)]
    database.append([encode_record(SessionChanged({"id": id_of(1), "created_at": 1.0}, 1.0))])
    log = os.stat(f"{vault.locate(id_of(1))}/1.db-log")
    (line,) = vault.survey().sessions
    assert line.saved_at == log.st_mtime  # a change is saved when it is accepted
    assert vault.clean_up(30, now) == Cleanup(0, 1, 0, {})
    assert vault.clean_up(30, log.st_mtime + 31 * DAY_S) == Cleanup(1, 0, 0, {})
    database.close()


def test_D1_a_clock_that_was_set_back_deletes_nothing() -> None:
    assert retention.outdated(LINES, 1, (), -100 * DAY_S) == []


def test_acceptance_142_143_to_delete_twice_is_fine_and_clear_tells_what_it_deleted(vault: Vault, state: str) -> None:
    save(vault, 1, 2, 3)
    assert (vault.delete(id_of(1)), vault.delete(id_of(1)), ids(vault)) == (True, False, [id_of(3), id_of(2)])
    assert refusal(lambda: vault.delete("../state")) == ("invalid_id", "not a UUID of version 4")
    assert vault.clear() == Cleanup(2, 0, 0, {})
    assert os.listdir(f"{state}/sessions") == []


def test_F18_acceptance_103_what_a_dead_store_has_left_half_done_is_gone_with_the_next_start(vault: Vault, state: str) -> None:
    save(vault, 1, 2)
    os.rename(f"{state}/sessions/{id_of(1)}", f"{state}/sessions/{id_of(1)}{DELETED}")
    Path(state, "keys.123.tmp").write_text("half")
    Path(state, "keys.124.tmp").mkdir()
    assert ids(opened(state)) == [id_of(2)]
    assert sorted(os.listdir(state)) == ["index", "keys", "keys.124.tmp", "keys.lock", "sessions", "store.lock"]
    assert os.listdir(f"{state}/sessions") == [id_of(2)]


# ---- how many -------------------------------------------------------------------------------------------------------------


def test_F17_acceptance_110_at_the_limit_a_new_session_is_refused_and_an_old_one_is_not(state: str) -> None:
    vault = opened(state, max_saved=5)
    save(vault, 1, 2, 3)
    assert [vault.grant(id_of(number)).crowd for number in (4, 5)] == [(4, 5), (5, 5)]
    assert refusal(lambda: vault.grant(id_of(6))) == ("session_limit_reached", "5/5 saved sessions")
    save(vault, 1, 4, 5)
    assert sorted(ids(vault)) == sorted(id_of(number) for number in range(1, 6))


def test_acceptance_112_with_auto_clean_the_oldest_goes(state: str) -> None:
    vault = opened(state, max_saved=3, auto_clean=True)
    save(vault, 1, 2, 3)
    save(vault, 1, 4)
    assert sorted(ids(vault)) == sorted(id_of(number) for number in (1, 3, 4))


# ---- from elsewhere -------------------------------------------------------------------------------------------------------


def test_an_export_is_an_import_with_all_that_was_kept(vault: Vault) -> None:
    database = open_session(vault, 1)
    database.append([encode_record(SessionChanged({"id": id_of(1), "name": "later"}, 1.0))])
    database.close()
    before, text = vault.get(id_of(1)), vault.export(id_of(1))
    assert refusal(lambda: vault.import_(text)) == ("already_exists", "a saved session has this id")
    assert vault.delete(id_of(1))
    assert vault.import_(text) == id_of(1)
    session, content = vault.get(id_of(1))
    assert (session, [body for body, _ in content.records]) == (before[0], [body for body, _ in before[1].records])
    assert (session["name"], content.snapshot.content) == ("later", b"state 1")


def test_acceptance_128_130_what_another_machine_has_signed_comes_in_only_when_that_is_asked_for(vault: Vault) -> None:
    save(vault, 1)
    text = vault.export(id_of(1))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        theirs = opened(f"{other}/state")
        assert refusal(lambda: theirs.import_(text))[0] == "signature_verification_failed"
        assert theirs.import_(text, unsigned=True) == id_of(1)
        assert theirs.get(id_of(1))[1].snapshot.content == b"state 1"


class Died(BaseException):
    """Of the store, at a point."""


def test_an_import_that_died_anywhere_is_there_or_can_be_made_again(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = opened(state)
    save(vault, 1)
    before, text = vault.get(id_of(1)), vault.export(id_of(1))
    passed: list[str] = []
    vault.delete(id_of(1))
    monkeypatch.setattr(faults, "hook", passed.append)
    vault.import_(text)

    def die(name: str, at: list[str]) -> None:
        at.append(name)
        if len(at) == last:
            raise Died

    for last in range(1, len(passed) + 1):
        monkeypatch.setattr(faults, "hook", None)
        vault.delete(id_of(1))
        monkeypatch.setattr(faults, "hook", partial(die, at=[]))
        with pytest.raises(Died):
            vault.import_(text)
        monkeypatch.setattr(faults, "hook", None)
        vault.close()
        vault = opened(state)
        if id_of(1) not in ids(vault):
            assert vault.import_(text) == id_of(1), passed[last - 1]
        session, content = vault.get(id_of(1))
        assert (session, content.snapshot.content) == (before[0], before[1].snapshot.content), passed[last - 1]
    assert "database.created" in passed


@pytest.mark.parametrize(("field", "value"), [
    ("generation", -1), ("generation", 1 << 62), ("generation", 1 << 70), ("number", -1), ("number", 1 << 62),
    ("session", {}), ("session", {"id": id_of(2), "name": "n1"}), ("records", ["AAAA"]), ("content", "?"), ("saved_at", None),
])  # fmt: skip
def test_F7_acceptance_135_an_import_that_nobody_could_resume_is_refused_and_leaves_nothing(
    vault: Vault, state: str, field: str, value: object
) -> None:
    save(vault, 1)
    text = vault.export(id_of(1))
    vault.delete(id_of(1))
    bad = json.dumps({**json.loads(text), field: value}).encode()
    assert refusal(lambda: vault.import_(bad, unsigned=True)) == ("invalid_field", field)
    assert os.listdir(f"{state}/sessions") == []
    assert vault.import_(text) == id_of(1)


def test_F5_a_folder_that_was_put_back_is_refused(vault: Vault, state: str) -> None:
    save(vault, 1)
    folder = f"{state}/sessions/{id_of(1)}"
    shutil.copytree(folder, f"{state}/older")
    save(vault, 1)
    shutil.rmtree(folder)
    shutil.copytree(f"{state}/older", folder)
    for one in (vault, opened(state)):
        assert refusal(lambda one=one: one.get(id_of(1)))[0] == "signature_verification_failed"


def test_acceptance_127_a_save_whose_end_was_cut_off_is_refused_and_told_as_bad(vault: Vault, state: str) -> None:
    database = open_session(vault, 1)
    database.append([encode_record(SessionChanged({"id": id_of(1), "name": "later"}, 1.0))])
    folder = f"{state}/sessions/{id_of(1)}"
    shutil.copytree(folder, f"{state}/killed")  # as a kill leaves it: the log is not folded
    database.close()
    shutil.rmtree(folder)
    shutil.copytree(f"{state}/killed", folder)
    assert vault.get(id_of(1))[0]["name"] == "later"
    os.unlink(f"{folder}/1.db-log")
    assert refusal(lambda: vault.get(id_of(1))) == ("signature_verification_failed", "records: some are missing")
    assert vault.survey().bad == {id_of(1): "signature_verification_failed"}


def test_a_second_daemon_does_not_keep_its_sessions_in_the_same_place(vault: Vault, state: str) -> None:
    save(vault, 1)
    program = (
        "import sys; from supervisors.persistence.vault import Vault\ntry: Vault(sys.argv[1]).survey()\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program, state], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "running: another daemon keeps its sessions in this state directory\n"


def test_F8_acceptance_119_an_id_that_is_none_touches_no_file(vault: Vault, state: str) -> None:
    vault.ring()
    before = sorted(Path(state).rglob("*"))
    for id in ("../x", "/etc/passwd", "", "a\0b"):
        for act in (vault.grant, vault.get, vault.delete, vault.export):
            assert refusal(lambda act=act, id=id: act(id))[0] == "invalid_id"
    assert refusal(lambda: vault.get(id_of(9))) == ("not_found", "no saved session has this id")
    assert sorted(Path(state).rglob("*")) == before


def test_a_list_of_saves_that_cannot_be_written_is_said_in_the_log_and_written_with_the_next_save(
    state: str, vault: Vault, capfd: pytest.CaptureFixture[str]
) -> None:
    os.mkdir(f"{state}/index")  # in its place
    save(vault, 1)
    assert capfd.readouterr().err == "the list of saves is not written: path_permission_denied: eisdir\n"
    assert ids(vault) == [id_of(1)]
    os.rmdir(f"{state}/index")
    save(vault, 2)
    assert capfd.readouterr().err == ""
    assert sorted(lines_of(state)) == [id_of(1), id_of(2)]


def lines_of(state: str) -> list[str]:
    """The ids on the list, as another life of the store reads it."""
    index = Index(state)
    assert index.load(secrets.ring_of(state, lambda: True, os.urandom))
    return list(index.lines)
