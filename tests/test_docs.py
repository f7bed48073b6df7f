"""The pages of docs/ are run as they are printed, each against a daemon of its own."""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorcore.runtime.actor.process import Process
from actorcore.runtime.actor.tasks import Tasks
from supervisors.client import Client
from supervisors.clients.manager import ManagerClient
from supervisors.clients.saved import SavedClient
from supervisors.machines import MACHINES
from supervisors.session import requests
from tests.daemon_fixture import Daemon

DOCS = Path(__file__).parent.parent / "docs"
PAGES = {page.name: page.read_text() for page in sorted(DOCS.glob("*.md"))}
EXAMPLES = [name for name, text in PAGES.items() if "\n>>> " in text]
FLAGS = doctest.ELLIPSIS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the reader of a page is: a daemon runs, and nothing of it is left in the end."""
    with Daemon(tmp_path / "run") as daemon:
        monkeypatch.setenv("ACTORCORE_DIR", str(daemon.directory))
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)  # as `python` has it there
        yield tmp_path


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_page_does_what_it_says(name: str, folder: Path) -> None:
    for file, text in re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```", PAGES[name], re.DOTALL):
        (folder / file).write_text(text)
    page = doctest.DocTestParser().get_doctest(PAGES[name], {}, name, name, 0)
    said: list[str] = []
    results = doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(page, out=said.append)
    assert said == []
    assert (results.failed, results.attempted) == (0, len(page.examples))


def test_every_page_is_listed_and_every_link_leads_somewhere() -> None:
    assert set(re.findall(r"^\| \[(\S+\.md)\]", PAGES["README.md"], re.MULTILINE)) == set(PAGES) - {"README.md"}
    links = {(name, link) for name, text in PAGES.items() for link in re.findall(r"\]\(([^)#]+)\)", text)}
    assert [link for link in links if not (DOCS / link[1]).exists()] == []


def test_what_the_pages_name_is_there() -> None:
    named = {word for text in PAGES.values() for word in re.findall(r"`(client|process|Tasks)\.(\w+)", text)}
    owners = {"client": Client, "process": Process, "Tasks": Tasks}
    made = {("process", "begin"), ("client", "manager"), ("client", "saved")}  # by their constructors
    assert [word for word in named - made if not hasattr(owners[word[0]], word[1])] == []
    assert len(named) > 15
    machines = set(re.findall(r"machine `(\w+)`", PAGES["coming_from.md"]))
    assert machines - set(MACHINES) == set()
    assert len(machines) > 6
    modules = {word for text in PAGES.values() for word in re.findall(r"`((?:supervisors|actorcore)/[\w/]+\.py)`", text)}
    assert [module for module in modules if not (DOCS.parent / module).exists()] == []


def test_a_page_that_is_wrong_is_found() -> None:
    page = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "planted", "planted", 0)
    said: list[str] = []
    assert doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(page, out=said.append).failed == 1


def test_what_the_page_for_users_of_earlier_systems_names_is_there_and_tested() -> None:
    page = PAGES["coming_from_sessions.md"]
    owners = {"manager": ManagerClient, "saved": SavedClient}
    named = re.findall(r"client\.(manager|saved)\.(\w+)", page)
    assert [word for word in named if not hasattr(owners[word[0]], word[1])] == []
    here = re.sub(r"`[^`]*`", " ", "\n".join(line.split("|")[2] for line in page.splitlines() if line.count("|") > 2))
    words = {word for word in re.findall(r"\b[A-Z][a-z]+[A-Z]\w*", here) if word != "CamelCase"}
    assert [word for word in words if not hasattr(requests, word)] == []
    tests = " ".join(re.findall(r"def (test_\w+)", "".join(file.read_text() for file in DOCS.parent.glob("tests/**/*.py"))))
    borne = {int(number) for numbers in re.findall(r"acceptance((?:_\d+)+)", tests) for number in numbers.split("_")[1:]}
    shown = {int(number) for cells in re.findall(r"\| ([\d, ]+) \|$", page, re.MULTILINE) for number in cells.split(",")}
    assert (shown - borne, len(shown) > 60, len(named) > 30, len(words) > 30) == (set(), True, True, True)
