"""The configuration file of the daemon, TOML, read once at its start.

::

    [templates.asyncio]          # lean, asyncio, session and supervisor are always there; their pools may be set
    pool = 2
    [templates.data]             # a template of one's own
    preload = ["numpy", "pandas"]
    pool = 4
    [sessions]
    max_sessions = 10
    forbidden_directories = ["/etc", "/srv"]

It is the file of ``--config``, else of ``$ACTORCORE_CONFIG``, else ``actorcore/config.toml`` in the user's configuration
directory, if there is one.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from actorcore.guardian_words import Template
from actorcore.runtime.guardian import zygotes
from actorcore.signals import AUTO
from supervisors.session.record import SESSION
from supervisors.session.settings import SessionSettings, trouble_with as settings_trouble
from supervisors.tree.toml_lines import line_of, line_of_error, spelled

FILE_VARIABLE = "ACTORCORE_CONFIG"
SUPERVISOR = "supervisor"
"""The template for machines in processes of their own: a start saves their imports."""
NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
MAX_POOL = 1000
MAX_TEMPLATES = 32
Said = TypeVar("Said", bound=msgspec.Struct)


BUILT_IN = (
    *zygotes.BUILT_IN,
    Template(SESSION, ("supervisors.session.server", "supervisors.session.resuming"), waits=True),
    Template(SUPERVISOR, ("supervisors.tree.process",), waits=True),
)
"""Sessions begin with what remembers them imported: 60 ms that no start of one has to spend, and no resume 10 more."""


class InvalidConfiguration(Exception):
    """The text names the file, the line and what is wrong there."""


class Configuration(msgspec.Struct, frozen=True):
    """``templates``: the built-in ones first. ``sessions``: see :mod:`supervisors.session.settings`."""

    templates: tuple[Template, ...] = BUILT_IN
    sessions: SessionSettings = SessionSettings()


class _TemplateTable(msgspec.Struct, forbid_unknown_fields=True):
    preload: list[str] = []
    pool: int = 0


def configuration_file(chosen: str = "", environment: Mapping[str, str] = os.environ) -> Path | None:
    """The file to read; None: there is none."""
    if named := chosen or environment.get(FILE_VARIABLE, ""):
        return Path(named)
    base = environment.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    usual = Path(base) / "actorcore" / "config.toml"
    return usual if usual.exists() else None


def read_configuration(file: Path | None) -> Configuration:
    """What ``file`` says; all defaults without one.

    :raises InvalidConfiguration: it cannot be read, is no TOML, or says something that there is not.
    """
    if file is None:
        return Configuration()
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(f"{file}: {error.strerror if isinstance(error, OSError) else 'not UTF-8'}") from None
    try:
        return parse(text)
    except InvalidConfiguration as error:
        raise InvalidConfiguration(f"{file}{error}") from None


def parse(text: str) -> Configuration:
    """The configuration in ``text``.

    :raises InvalidConfiguration: its text begins with ``:LINE:``.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfiguration(f":{line_of_error(text, error)}: {error}") from None
    for key in tables:
        if key not in ("templates", "sessions"):
            raise _invalid(text, (key,), "unknown; known are templates, sessions")
    given = tables.get("templates", {})
    if not isinstance(given, dict):
        raise _invalid(text, ("templates",), "must be a table")
    templates = {template.name: template for template in BUILT_IN}
    for name, table in given.items():
        templates[name] = _template(text, name, table, templates.get(name))
    if len(templates) > MAX_TEMPLATES:
        raise _invalid(text, ("templates",), f"{len(templates)} of them, at most {MAX_TEMPLATES}")
    return Configuration(tuple(templates.values()), _sessions(text, tables.get("sessions", {})))


def _sessions(text: str, table: object) -> SessionSettings:
    settings = _checked(text, ("sessions",), table, SessionSettings)
    if (trouble := settings_trouble(settings)) is not None:
        raise _invalid(text, ("sessions", trouble[0]), trouble[1])
    return settings


def _template(text: str, name: str, table: object, built_in: Template | None) -> Template:
    where = ("templates", name)
    if not NAME.fullmatch(name) or name == AUTO:
        raise _invalid(text, where, f"must match {NAME.pattern} and not be {AUTO}")
    said = _checked(text, where, table, _TemplateTable)
    if not 0 <= said.pool <= MAX_POOL:
        raise _invalid(text, (*where, "pool"), f"must be 0 to {MAX_POOL}")
    for module in said.preload:
        if not MODULE.fullmatch(module):
            raise _invalid(text, (*where, "preload"), f"{module[:60]!r} is no name of a module")
    given = table if isinstance(table, dict) else {}
    if built_in is None or "preload" not in given:
        known = built_in or Template(name, tuple(said.preload))
        return msgspec.structs.replace(known, pool=said.pool) if "pool" in given else known
    raise _invalid(text, (*where, "preload"), "a built-in template has none; make one of another name")


def _checked(text: str, where: tuple[str, ...], table: object, kind: type[Said]) -> Said:
    """``table`` as a ``kind``, each key with its own line."""
    if not isinstance(table, dict):
        raise _invalid(text, where, "must be a table")
    for key in table:
        if key not in kind.__struct_fields__:
            raise _invalid(text, (*where, key), f"unknown; known are {', '.join(kind.__struct_fields__)}")
    for key, value in table.items():
        try:
            msgspec.convert({key: value}, kind)
        except msgspec.ValidationError as error:
            raise _invalid(text, (*where, key), str(error).partition(" - at")[0]) from None
    return msgspec.convert(table, kind)


def _invalid(text: str, path: tuple[str, ...], why: str) -> InvalidConfiguration:
    return InvalidConfiguration(f":{line_of(text, path)}: {spelled(path)}: {why}")
