"""README's five minutes are run as they are printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
TOUR = README[README.index("## Five minutes") : README.index("## Supervision trees")]


def blocks() -> dict[str, str]:
    """File name → text of each Python block; its first line is the name."""
    found = re.findall(r"```python\n# (\S+)\n(.*?)```", TOUR, re.DOTALL)
    return dict(found)


def commands() -> list[tuple[str, str | None]]:
    """The lines for a shell, each with what it is said to print."""
    found = []
    for line in re.findall(r"^    ((?:actorcore|python) .*)$", TOUR, re.MULTILINE):
        command, _, comment = line.partition("   #")
        found.append((command.strip(), comment.strip() if comment.strip().isdigit() else None))
    return found


@pytest.mark.timeout(120)
def test_the_five_minute_tour_does_what_it_says(tmp_path: Path) -> None:
    for name, text in blocks().items():
        (tmp_path / name).write_text(text)
    promised = re.findall(r"print\(.*\) +# (\S+)", blocks()["tour.py"])
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "ACTORCORE_DIR": str(tmp_path / "run"), "PYTHONPATH": str(ROOT)}
    try:
        for command, printed in commands():
            done = subprocess.run(
                command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
            )  # fmt: skip
            assert (command, done.returncode, done.stderr) == (command, 0, "")
            if command == "python tour.py":
                assert done.stdout.split() == promised
            elif printed is not None:
                assert done.stdout.strip() == printed
    finally:
        subprocess.run("actorcore down", shell=True, env=environment, capture_output=True, check=False)
    assert not (tmp_path / "run" / "actorcore.sock").exists()
    assert [name for name, _ in commands()][-1] == "actorcore down"
    assert len(promised) == 3


TREE_SCRIPT = """
import json
from actorcore.signals import ProcessSpec
from supervisors.client import Client

with Client.connect() as client:
{body}
"""


@pytest.mark.timeout(120)
def test_the_tree_does_what_it_says(tmp_path: Path) -> None:
    section = README[README.index("## Supervision trees") :].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("    ")]
    body = "\n".join(lines).replace("/srv/app", str(tmp_path))
    body = re.sub(r"^    (client\.call\(.*\)) +# .*$", r"    print(json.dumps(\1))", body, flags=re.MULTILINE)
    (tmp_path / "counter.py").write_text(blocks()["counter.py"])
    (tmp_path / "tree.py").write_text(TREE_SCRIPT.format(body=body))
    environment = {**os.environ, "ACTORCORE_DIR": str(tmp_path / "run"), "PYTHONPATH": str(ROOT)}
    actorcore = [sys.executable, "-m", "supervisors"]
    subprocess.run([*actorcore, "start"], env=environment, check=True, capture_output=True)
    try:
        done = subprocess.run(
            [sys.executable, "tree.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )  # fmt: skip
    finally:
        subprocess.run([*actorcore, "down"], env=environment, check=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")
    children, found = map(json.loads, done.stdout.splitlines())
    assert [(id, kind) for id, _, kind in children] == [("names", "worker"), ("counter", "worker")]
    assert found == [[children[1][1], None]]


def test_the_tour_shows_what_the_command_line_can() -> None:
    shown = subprocess.run([sys.executable, "-m", "supervisors", "--help"], capture_output=True, text=True, check=True, cwd=ROOT)
    known = {line.split()[0] for line in shown.stdout.split("The daemon:")[1].splitlines() if line.startswith("  ")}
    assert {command.split()[1] for command, _ in commands() if command.startswith("actorcore")} <= known
