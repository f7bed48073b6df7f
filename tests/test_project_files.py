"""Acceptance 99: nothing outside the project's folder is read or written, whatever a path says and whoever changes it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorcore.errors import RequestError
from supervisors.session.project_files import MAX_ENTRIES, MAX_FILE_BYTES, MAX_LINES, ProjectFiles

SECRET = "not yours\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """``project`` and, outside, ``secret``."""
    (tmp_path / "project" / "src").mkdir(parents=True)
    (tmp_path / "project" / "src" / "main.py").write_text("one\ntwo\nthree\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text(SECRET)
    return tmp_path


@pytest.fixture
def files(place: Path) -> Iterator[ProjectFiles]:
    found = ProjectFiles(str(place / "project"), "u")
    yield found
    found.close()


def code(function: object, *arguments: object) -> str:
    with pytest.raises(RequestError) as error:
        function(*arguments)  # type: ignore[operator]
    return error.value.code


def tree(folder: Path) -> dict[str, str]:
    """Every file with its text; nothing is followed."""
    paths = [Path(at, name) for at, _, names in os.walk(folder) for name in names]
    return {str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_text() for path in paths}


def test_a_file_is_read_in_pages_of_lines(files: ProjectFiles, place: Path) -> None:
    assert files.read("src/main.py", 1, 1) == {"lines": ["two"], "total": 3, "offset": 1, "has_more": True}
    assert files.read(str(place / "project/src/main.py"), 2) == {"lines": ["three"], "total": 3, "offset": 2, "has_more": False}
    assert files.read("src/../src/./main.py", 3) == {"lines": [], "total": 3, "offset": 3, "has_more": False}


def test_a_file_is_written_with_the_folders_above_it_and_keeps_its_mode(files: ProjectFiles, place: Path) -> None:
    os.chmod(place / "project/src/main.py", 0o750)
    files.write("src/main.py", b"new")
    files.write("a/b/c.txt", "hé".encode())
    assert tree(place / "project") == {"src/main.py": "new", "a/b/c.txt": "hé"}
    assert (place / "project/src/main.py").stat().st_mode & 0o777 == 0o750
    assert files.entries() == [["a", "folder"], ["src", "folder"]]
    assert files.entries("a/b") == [["c.txt", "file"]]


ESCAPES = [
    "../outside/secret", "src/../../outside/secret", "/etc/passwd", "//etc/passwd", "link", "folder/secret",
    "src/up/outside/secret", "magic/cwd", "../project2/x", "chain",
]  # fmt: skip
WRITES = [
    "../outside/secret", "src/../../outside/new", "/etc/actorcore-new", "folder/secret", "folder/a/b", "src/up/outside/secret",
    "../new/deep/file", "/newfolder/x", "x/../../outside/secret",
]  # fmt: skip


def lay_traps(place: Path) -> None:
    project = place / "project"
    (project / "link").symlink_to(place / "outside" / "secret")
    (project / "folder").symlink_to("../outside")
    (project / "src" / "up").symlink_to("../..")
    (project / "magic").symlink_to("/proc/self")
    (project / "chain").symlink_to("link")


@pytest.mark.parametrize("path", ESCAPES)
def test_acceptance_99_no_path_leads_out_of_the_project_to_read(files: ProjectFiles, place: Path, path: str) -> None:
    lay_traps(place)
    assert code(files.read, path) == "path_escapes_boundary"
    assert code(files.entries, path) == "path_escapes_boundary"


@pytest.mark.parametrize("path", WRITES)
def test_acceptance_99_no_path_leads_out_of_the_project_to_write(files: ProjectFiles, place: Path, path: str) -> None:
    lay_traps(place)
    before = tree(place)
    expected = "path_not_found" if path.startswith("x/") else "path_escapes_boundary"
    assert code(files.write, path, b"mine") == expected
    assert (tree(place), files.entries("src")) == (before, [["main.py", "file"], ["up", "link"]])


def test_acceptance_99_a_link_is_replaced_and_not_written_through(files: ProjectFiles, place: Path) -> None:
    lay_traps(place)
    files.write("link", b"mine")
    assert ((place / "project/link").read_text(), (place / "outside/secret").read_text()) == ("mine", SECRET)


def test_a_link_inside_the_project_is_followed(files: ProjectFiles, place: Path) -> None:
    (place / "project" / "inside").symlink_to("src/main.py")
    assert files.read("inside", 0, 1)["lines"] == ["one"]


def test_acceptance_99_a_link_that_is_swapped_in_while_we_look_leads_nowhere(files: ProjectFiles, place: Path) -> None:
    """``src`` now leads to a folder of the project and now to the outside, thousands of times while we read and write there."""
    project, outside = place / "project", place / "outside"
    os.rename(project / "src", project / "real")
    (project / "src").symlink_to("real")
    (outside / "main.py").write_text(SECRET)
    before = tree(outside)
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for target in ("../outside", "real"):
                os.symlink(target, project / "next")
                os.rename(project / "next", project / "src")

    swapper = threading.Thread(target=swap)
    swapper.start()
    outcomes: dict[str, int] = {}
    turn = 0
    try:
        while turn < 3000 or len(outcomes) < 2:
            turn += 1
            try:
                outcome = str(files.read("src/main.py", 0, 1)["lines"])
                files.write("src/new.py", b"x")
            except RequestError as error:
                outcome = error.code
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    finally:
        over.set()
        swapper.join()
    assert (set(outcomes), tree(outside)) == ({"['one']", "path_escapes_boundary"}, before)


def test_acceptance_99_the_folder_is_the_one_that_was_opened_whatever_its_name_means(files: ProjectFiles, place: Path) -> None:
    os.rename(place / "project", place / "moved")
    (place / "project").symlink_to(place / "outside")
    files.write("new", b"x")
    assert tree(place / "moved") == {"src/main.py": "one\ntwo\nthree\n", "new": "x"}
    assert tree(place / "outside") == {"secret": SECRET}


@pytest.mark.parametrize(("path", "expected"), [
    ("nothing", "path_not_found"), ("src/main.py/x", "path_not_directory"), ("src", "path_not_file"), ("pipe", "path_not_file"),
    ("", "invalid_field"), ("a\0b", "invalid_field"), ("x" * 4097, "path_too_long"), ("x" * 300, "path_too_long"),
    ("big", "file_too_large"), ("loop", "path_escapes_boundary"),
])  # fmt: skip
def test_what_cannot_be_read_has_its_code_and_hangs_nobody(files: ProjectFiles, place: Path, path: str, expected: str) -> None:
    project = place / "project"
    os.mkfifo(project / "pipe")
    (project / "loop").symlink_to("loop")
    with open(project / "big", "wb") as big:
        big.truncate(MAX_FILE_BYTES + 1)
    assert code(files.read, path) == expected


@pytest.mark.parametrize("path", ["src", ".", "src/..", "src/"])
def test_a_folder_is_not_overwritten(files: ProjectFiles, place: Path, path: str) -> None:
    before = tree(place)
    assert code(files.write, path, b"x") == "path_not_file"
    assert tree(place) == before


def test_bounds(files: ProjectFiles, place: Path) -> None:
    many = place / "project" / "many"
    many.mkdir()
    for n in range(MAX_ENTRIES + 1):
        os.close(os.open(many / str(n), os.O_CREAT | os.O_WRONLY))
    assert code(files.entries, "many") == "file_too_large"
    assert code(files.write, "x", b"x" * (MAX_FILE_BYTES + 1)) == "file_too_large"
    assert [code(files.read, "src/main.py", *slice_) for slice_ in ((-1,), (0, -1), (0, MAX_LINES + 1))] == ["invalid_field"] * 3
    files.write("long", b"x" * 5000 + b"\n\xff\xfe")
    assert files.read("long")["lines"] == ["x" * 2000, "��"]


def without_unnamed_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that has none (open(2), O_TMPFILE)."""
    real = os.open

    def opened(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "")
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", opened)


@pytest.mark.parametrize("has_unnamed", [True, False])
def test_what_a_kill_has_left_is_swept_or_written_over(
    files: ProjectFiles, place: Path, monkeypatch: pytest.MonkeyPatch, has_unnamed: bool
) -> None:
    if not has_unnamed:
        without_unnamed_files(monkeypatch)
    left = place / "project" / ".u.tmp"
    for sweep in (True, False):
        left.write_text("half a fi")
        (place / "project" / ".v.tmp").write_text("somebody else's")
        if sweep:
            files.sweep()
            assert not left.exists()
        os.chmod(place / "project/src/main.py", 0o640)
        files.write("src/main.py", b"new")
        files.write("made/new.py", b"also")
        assert tree(place / "project") == {"src/main.py": "new", "made/new.py": "also", ".v.tmp": "somebody else's"}
        assert (place / "project/src/main.py").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("has_unnamed", [True, False])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    files: ProjectFiles, place: Path, monkeypatch: pytest.MonkeyPatch, has_unnamed: bool
) -> None:
    if not has_unnamed:
        without_unnamed_files(monkeypatch)
    before = tree(place)
    for call in ("write", "rename"):
        with monkeypatch.context() as failing:
            failing.setattr(os, call, lambda *_, **__: (_ for _ in ()).throw(OSError(errno.ENOSPC, "")))
            assert code(files.write, "src/main.py", b"new") == "path_no_space"
            assert code(files.write, "new", b"new") == "path_no_space"
        assert tree(place) == before


def test_no_error_tells_a_path(files: ProjectFiles) -> None:
    with pytest.raises(RequestError) as error:
        files.read("some/where")
    assert (str(error.value), error.value.__cause__) == ("path_not_found", None)
