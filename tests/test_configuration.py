"""The configuration file: what it may say, and where it is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from actorcore.errors import RequestError
from actorcore.guardian_words import Template
from supervisors import launch
from supervisors.configuration import Configuration, InvalidConfiguration, configuration_file, parse, read_configuration

SESSION = Template("session", ("supervisors.session.server", "supervisors.session.resuming"), waits=True)
SUPERVISOR = Template("supervisor", ("supervisors.tree.process",), waits=True)


def test_nothing_said_is_the_built_in_templates() -> None:
    assert parse("") == Configuration((Template("lean", (), 8), Template("asyncio"), SESSION, SUPERVISOR))


def test_a_template_is_a_name_a_list_of_modules_and_a_pool() -> None:
    text = '[templates.data]\npreload = ["numpy", "a.b_c"]\n[templates.session]\npool = 3\n[templates.lean]\npool = 0\n'
    assert parse(text).templates == (
        Template("lean", (), 0), Template("asyncio"), replace(SESSION, pool=3), SUPERVISOR,
        Template("data", ("numpy", "a.b_c"), 0),
    )  # fmt: skip


@pytest.mark.parametrize(("text", "error"), [
    ("[templates.x\n", ":1: Expected ']' at the end of a table declaration (at line 1, column 13)"),
    ("\n\npool = = 3", ":3: Invalid value (at line 3, column 8)"),
    ("a = 1\n[template.x]\n", ":1: a: unknown; known are templates, sessions"),
    ("\n[template.x]\n", ":2: template: unknown; known are templates, sessions"),
    ("templates = 3", ":1: templates: must be a table"),
    ("[templates]\nx = 3", ":2: templates.x: must be a table"),
    ("[templates.x]\npool = 1\npol = 2", ":3: templates.x.pol: unknown; known are preload, pool"),
    ("[templates]\nx.pool = 1\nx.pol = 2", ":3: templates.x.pol: unknown; known are preload, pool"),
    ('[templates."x"]\npol = 2', ":2: templates.x.pol: unknown; known are preload, pool"),
    ("[templates.x]\npool = '1'", ":2: templates.x.pool: Expected `int`, got `str`"),
    ("[templates.x]\npool = -1", ":2: templates.x.pool: must be 0 to 1000"),
    ("[templates.x]\npool = 1001", ":2: templates.x.pool: must be 0 to 1000"),
    ("[templates.x]\n\n# preload =\npreload = 'json'", ":4: templates.x.preload: Expected `array`, got `str`"),
    ("[templates.x]\npreload = ['json', 'a-b']", ":2: templates.x.preload: 'a-b' is no name of a module"),
    ("[templates.x]\npreload = ['-c']", ":2: templates.x.preload: '-c' is no name of a module"),
    ("[templates.lean]\npreload = []",
     ":2: templates.lean.preload: a built-in template has none; make one of another name"),
    ("[templates.auto]", ":1: templates.auto: must match [a-z][a-z0-9_-]{0,31} and not be auto"),
    ("[templates.'A b']", ":1: templates.A b: must match [a-z][a-z0-9_-]{0,31} and not be auto"),
    ("".join(f"[templates.t{number}]\n" for number in range(29)), ":1: templates: 33 of them, at most 32"),
])  # fmt: skip
def test_H1_what_is_wrong_is_named_with_its_line(text: str, error: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        parse(text)
    assert str(refused.value) == error


def test_the_file_is_the_chosen_one_else_the_variables_else_the_users_if_there_is_one(tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    usual = tmp_path / "actorcore" / "config.toml"
    assert configuration_file(environment=home) is None
    usual.parent.mkdir()
    usual.touch()
    named = {**home, "ACTORCORE_CONFIG": "/named.toml"}
    assert [configuration_file(environment=home), configuration_file(environment=named), configuration_file("/c", named)] == [
        usual, Path("/named.toml"), Path("/c"),
    ]  # fmt: skip


@pytest.mark.parametrize(("content", "why"), [(None, "No such file or directory"), (b"\xff", "not UTF-8")])
def test_H1_a_file_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "config.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidConfiguration) as refused:
        read_configuration(file)
    assert str(refused.value) == f"{file}: {why}"


def test_H1_a_daemon_with_an_invalid_file_says_where_and_does_not_start(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[templates.x]\npol = 1\n")
    argv = [sys.executable, "-m", "supervisors.daemon", "--dir", str(tmp_path / "run"), "--config", str(file)]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    told = f"error: invalid_config: {file}:2: templates.x.pol: unknown; known are preload, pool\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (78, "", told)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == []


def test_who_starts_a_daemon_on_demand_is_told_what_is_wrong_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[templates.x]\npol = 1\n")
    monkeypatch.setenv("ACTORCORE_CONFIG", str(file))
    with pytest.raises(RequestError) as refused:
        launch.connect_or_start(tmp_path / "run")
    told = f"{file}:2: templates.x.pol: unknown; known are preload, pool"
    assert (refused.value.code, refused.value.detail) == ("invalid_config", told)
