"""RELIABILITY C1–C7, F6', acceptance 100, 103, 108, 109, 113: the disk and the system say no, and the session goes on."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from actorcore.errors import RequestError
from supervisors.persistence import snapshot as snapshots
from supervisors.persistence.database import Database
from supervisors.persistence.signing import Ring
from supervisors.session.project_files import ProjectFiles
from tests.persistence.crashes import last_of

ID = str(uuid.UUID(int=3, version=4))
KEYS = Ring({1: b"k" * 32}).keys_of(ID)
FORKS = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@pytest.fixture
def root() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield folder


class Session:
    """Numbers in a database."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.database = Database(folder, ID, KEYS)
        self.last = last_of(self.database.open())

    def add(self, size_bytes: int = 0) -> None:
        self.database.append([(b"%d" % (self.last + 1)).ljust(size_bytes)])
        self.last += 1

    def save(self) -> None:
        self.database.checkpoint({}, b"%d" % self.last)

    def again(self) -> None:
        """End and begin: all must be there."""
        self.database.close()
        assert Session(self.folder).checked(self.last) == self.last

    def checked(self, expected: int) -> int:
        last = last_of(self.database.content)
        self.database.close()
        return last if last == expected else -1


def fill(path: Path) -> None:
    """A file that takes all the room that there is."""
    with path.open("wb", 0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def refusal(act: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(RequestError) as caught:
        act()
    return caught.value.code, caught.value.detail


@contextmanager
def mounted(folder: str, options: str) -> Iterator[None]:
    os.makedirs(folder, 0o700, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=0700,{options}", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


# ---- modes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_acceptance_100_folder_0700_and_files_0600_whatever_the_umask(root: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        session = Session(f"{root}/{ID}")
        session.add()
        session.database._is_failed = True
        session.add()
        found = {name: stat.S_IMODE(os.stat(f"{session.folder}/{name}").st_mode) for name in os.listdir(session.folder)}
        assert found == dict.fromkeys(("head", "2.db", "2.db-wal", "2.db-log"), 0o600)
        assert stat.S_IMODE(os.stat(session.folder).st_mode) == 0o700
        session.again()
    finally:
        os.umask(before)


# ---- a full disk ------------------------------------------------------------------------------------------------------------


@needs_root
def test_C1_acceptance_103_108_on_a_full_disk_a_message_is_refused_all_is_kept_and_the_next_one_works(root: str) -> None:
    with mounted(f"{root}/small", "size=256k"):
        session = Session(f"{root}/small/{ID}")
        session.add()
        filler = Path(root, "small", "filler")
        fill(filler)
        with suppress(RequestError):
            while True:  # what the log has room for
                session.add(1000)
        assert refusal(lambda: session.add(1000)) == ("path_no_space", "enospc")
        assert refusal(lambda: session.database.checkpoint({}, bytes(50_000))) == ("path_no_space", "enospc")
        kept = session.last
        filler.unlink()
        session.add()
        session.save()
        session.add()
        assert session.last == kept + 2
        session.again()
        assert sorted(os.listdir(session.folder)) == [name for name in sorted(os.listdir(session.folder)) if "tmp" not in name]


@needs_root
def test_C3_without_inodes_a_session_is_refused_as_on_a_full_disk(root: str) -> None:
    with mounted(f"{root}/small", "nr_inodes=3"):
        folder = f"{root}/small/{ID}"
        assert refusal(lambda: Session(folder)) == ("path_no_space", "enospc")
    with mounted(f"{root}/other", "nr_inodes=20"):
        Session(f"{root}/other/{ID}").again()


@needs_root
def test_a_file_on_another_file_system_that_is_mounted_in_a_project_is_written_as_any_other(root: str) -> None:
    os.makedirs(f"{root}/project")
    files = ProjectFiles(f"{root}/project", ID)
    with mounted(f"{root}/project/disk", "size=64k"):
        for content in (b"one", b"two"):
            files.write("disk/file", content)
            assert files.read_bytes("disk/file") == content
        assert refusal(lambda: files.write("disk/file", bytes(128 << 10)))[0] == "path_no_space"
        assert (files.read_bytes("disk/file"), files.entries("disk"), files.entries()) == (
            b"two", [["file", "file"]], [["disk", "folder"]],
        )  # fmt: skip
    files.close()


# ---- what may not be written --------------------------------------------------------------------------------------------------


@needs_root
def test_C4_acceptance_109_a_read_only_file_system_is_an_error_of_its_own(root: str) -> None:
    with mounted(f"{root}/fs", "size=1m"):
        session = Session(f"{root}/fs/{ID}")
        session.add()
        session.database.close()
        subprocess.run(["mount", "-o", "remount,ro", f"{root}/fs"], check=True)
        assert refusal(lambda: Session(session.folder)) == ("path_permission_denied", "erofs")
        assert refusal(lambda: Session(f"{root}/fs/{uuid.uuid4()}")) == ("path_permission_denied", "erofs")
        subprocess.run(["mount", "-o", "remount,rw", f"{root}/fs"], check=True)
        assert Session(session.folder).checked(1) == 1


def test_C5_acceptance_109_a_deleted_folder_is_told_and_made_anew_as_narrow_as_it_was(root: str) -> None:
    session = Session(f"{root}/{ID}")
    session.add()
    shutil.rmtree(session.folder)
    assert refusal(session.add) == ("path_not_found", "enoent")
    session.add()
    assert stat.S_IMODE(os.stat(session.folder).st_mode) == 0o700
    session.again()


@pytest.mark.parametrize("spoil", ["file", "wider", "replaced"])
def test_C5_a_folder_that_became_something_else_is_left_alone_until_it_is_mended(root: str, spoil: str) -> None:
    session = Session(f"{root}/{ID}")
    session.add()
    os.rename(session.folder, f"{root}/aside")
    match spoil:
        case "file":
            Path(session.folder).write_text("mine")
        case "wider":
            os.mkdir(session.folder, 0o755)
            os.chmod(session.folder, 0o755)
        case "replaced":
            os.symlink(root, session.folder)
    first = refusal(session.add)
    assert first == {"file": ("path_not_directory", "enotdir")}.get(spoil, ("path_not_found", "enoent"))
    why = {"wider": ("path_permission_denied", "not ours alone")}.get(spoil, ("path_not_directory", "not a directory"))
    assert refusal(session.add) == why
    if spoil == "wider":
        assert stat.S_IMODE(os.stat(session.folder).st_mode) == 0o755
        os.rmdir(session.folder)
    else:
        os.unlink(session.folder)
    session.add()
    session.again()


NOBODY_UID = 65534


def as_user(act: Callable[[], None]) -> int:
    """The exit status of ``act`` in a child that modes bind: root is somebody else there, anybody else is who they are."""

    def live() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY_UID, NOBODY_UID, NOBODY_UID)
            os.setresuid(NOBODY_UID, NOBODY_UID, NOBODY_UID)
        act()

    return in_child(live)


@pytest.fixture
def lent(root: str) -> str:
    """A folder of whoever :func:`as_user` is."""
    folder = f"{root}/lent"
    os.mkdir(folder, 0o700)
    if os.geteuid() == 0:
        os.chmod(root, 0o711)
        os.chown(folder, NOBODY_UID, NOBODY_UID)
    return folder


def mode_of(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


@FORKS
def test_C5_a_folder_that_its_user_may_not_enter_any_more_is_told_and_never_made_wider(lent: str) -> None:
    def live() -> None:
        session = Session(f"{lent}/{ID}")
        session.add()
        os.chmod(session.folder, 0o000)
        assert refusal(session.add) == ("path_permission_denied", "eacces")
        for mode in (0o000, 0o500):
            os.chmod(session.folder, mode)
            for act in (session.add, session.save, lambda: Session(session.folder)):
                assert refusal(act) == ("path_permission_denied", "not ours alone")
            assert mode_of(session.folder) == mode
        os.chmod(session.folder, 0o700)
        session.add()
        assert session.last == 2
        session.again()

    assert as_user(live) == 0


@FORKS
def test_C5_a_folder_whose_parent_is_closed_or_gone_is_told_and_comes_back_with_it(lent: str) -> None:
    def live() -> None:
        session = Session(f"{lent}/saves/{ID}")
        session.add()
        os.chmod(f"{lent}/saves", 0o000)
        assert refusal(session.add) == ("path_permission_denied", "eacces")
        assert refusal(session.add) == ("path_permission_denied", "not ours alone")
        assert mode_of(f"{lent}/saves") == 0o000
        os.chmod(f"{lent}/saves", 0o700)
        session.add()
        session.again()

    os.mkdir(f"{lent}/saves", 0o700)
    if os.geteuid() == 0:
        os.chown(f"{lent}/saves", NOBODY_UID, NOBODY_UID)
    assert as_user(live) == 0


@FORKS
@needs_root
def test_C5_a_folder_that_was_given_to_another_user_is_refused_and_left_alone(lent: str) -> None:
    def live() -> None:
        assert refusal(lambda: Session(f"{lent}/{ID}"))[0] == "path_permission_denied"

    assert as_user(lambda: Session(f"{lent}/{ID}").again()) == 0
    os.chown(f"{lent}/{ID}", 0, 0)
    os.chmod(f"{lent}/{ID}", 0o777)
    assert as_user(live) == 0
    assert (mode_of(f"{lent}/{ID}"), os.stat(f"{lent}/{ID}").st_uid) == (0o777, 0)


def test_acceptance_109_a_path_that_is_too_long_is_an_error_of_its_own(root: str) -> None:
    assert refusal(lambda: Session(f"{root}/{'x' * 300}")) == ("path_too_long", "enametoolong")


@FORKS
def test_C7_a_file_that_may_not_grow_is_an_error_and_no_death(root: str) -> None:
    def live() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        session = Session(f"{root}/{ID}")
        session.add()
        resource.setrlimit(resource.RLIMIT_FSIZE, (12 << 10, resource.RLIM_INFINITY))
        codes = []
        for _ in range(20):
            try:
                session.add(1000)
            except RequestError as error:
                codes.append(error.code)
        assert (set(codes), session.last) == ({"write_failed"}, 21 - len(codes))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        session.add()
        session.again()

    assert in_child(live) == 0


@FORKS
def test_acceptance_109_without_descriptors_a_session_is_refused_and_one_that_is_there_goes_on(root: str) -> None:
    def live() -> None:
        session = Session(f"{root}/{ID}")
        limit = len(os.listdir("/proc/self/fd"))
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit - 1, hard))
        session.add()
        assert refusal(lambda: Session(f"{root}/{uuid.uuid4()}"))[0] == "resource_exhausted"
        session.database._is_failed = True
        assert refusal(session.add)[0] == "resource_exhausted"
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit + 20, hard))
        session.add()
        session.again()

    assert in_child(live) == 0


def in_child(act: Callable[[], None]) -> int:
    if (child := os.fork()) == 0:
        try:
            act()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_acceptance_113_a_session_that_is_too_large_is_told_so_before_anything_is_touched(root: str) -> None:
    session = Session(f"{root}/{ID}")
    session.add()
    before = {name: Path(session.folder, name).read_bytes() for name in os.listdir(session.folder)}
    assert refusal(lambda: session.database.checkpoint({}, bytes(snapshots.MAX_BYTES)))[0] == "file_too_large"
    assert {name: Path(session.folder, name).read_bytes() for name in os.listdir(session.folder)} == before
    session.again()


def test_G4_a_state_that_is_no_json_is_refused_and_all_is_kept(root: str) -> None:
    session = Session(f"{root}/{ID}")
    session.add()
    assert refusal(lambda: session.database.checkpoint({"bad": object()}, b"")) == (  # type: ignore[dict-item]
        "json_encode_error", "the session's record is no JSON"
    )  # fmt: skip
    session.add()
    session.again()


# ---- what somebody else has put there -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["head", "1.db", "1.db-wal", "1.db-log"])
@pytest.mark.parametrize(
    "spoil", ["mode", "setgid", "link", "symlink", "fifo", "directory", "huge", pytest.param("owner", marks=needs_root)]
)
def test_F6_F7_a_file_that_another_could_have_put_there_is_refused(root: str, name: str, spoil: str) -> None:
    """The huge one before anything of it is read."""
    session = Session(f"{root}/{ID}")
    session.add()
    aside = f"{root}/aside"
    shutil.copytree(session.folder, aside)
    session.database.close()
    shutil.rmtree(session.folder)
    shutil.copytree(aside, session.folder)
    path = f"{session.folder}/{name}"
    match spoil:
        case "mode":
            os.chmod(path, 0o644)
        case "setgid":
            os.chmod(path, 0o2600)
        case "huge":
            os.truncate(path, 10 << 30)
        case "link":
            os.link(path, f"{root}/second")
        case "owner":
            os.chown(path, 65534, -1)
        case _:
            os.rename(path, f"{root}/moved")
            {"symlink": lambda: os.symlink(f"{root}/moved", path), "fifo": lambda: os.mkfifo(path, 0o600),
             "directory": lambda: os.mkdir(path)}[spoil]()  # fmt: skip
    code = "file_too_large" if spoil == "huge" else "path_permission_denied"
    assert refusal(lambda: Session(session.folder))[0] == code
