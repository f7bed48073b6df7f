"""The folder of a session is examined by looking only."""

from __future__ import annotations

import os
from pathlib import Path

from supervisors.session import project_path
from supervisors.session.record import Project


def test_acceptance_6_7_a_folder_is_what_its_real_path_is_and_looking_changes_nothing(tmp_path: Path) -> None:
    folder, link = tmp_path / "real", tmp_path / "link"
    folder.mkdir()
    folder.chmod(0o750)
    link.symlink_to("real")
    before = os.stat(folder)
    expected = Project(str(folder), before.st_dev, before.st_ino, os.geteuid(), os.getegid(), 0o40750)
    assert [project_path.examine(path) for path in (str(folder), str(link), folder, f"{folder}/.")] == [expected] * 4
    after = os.stat(folder)
    assert (os.listdir(folder), after.st_mtime_ns, after.st_ctime_ns) == ([], before.st_mtime_ns, before.st_ctime_ns)


def test_two_names_of_one_folder_are_one_folder() -> None:
    here = Project("/a", 1, 2, 0, 0, 0o40755)
    others = [Project("/b", 1, 2, 5, 5, 0o40700), Project("/a", 9, 9, 0, 0, 0o40755), Project("/b", 1, 3, 0, 0, 0o40755)]
    assert [here.is_same_folder(other) for other in others] == [True, True, False]
