"""How the command line ends, and the daemon that a command may become: exit codes, and errors for programs."""

from __future__ import annotations

import json

from actorcore.errors import MEANINGS as CODES

DONE, REFUSED, USAGE, NOT_RUNNING, INVALID_CONFIGURATION, ALREADY_RUNNING, INTERRUPTED = 0, 1, 2, 3, 78, 100, 130
MEANINGS = {
    DONE: "done",
    REFUSED: "refused or failed",
    USAGE: "usage",
    NOT_RUNNING: "the daemon is not running, or ended meanwhile",
    INVALID_CONFIGURATION: "in the foreground: the configuration file says what cannot be",
    ALREADY_RUNNING: "in the foreground: another daemon serves this directory",
    INTERRUPTED: "interrupted",
}
OF_COMMANDS = (DONE, REFUSED, USAGE, NOT_RUNNING, INTERRUPTED)


def explained(codes: tuple[int, ...]) -> str:
    """For the end of a help page."""
    return "Exit codes: " + ", ".join(f"{code} {MEANINGS[code]}" for code in codes) + "."


def error_json(code: str, detail: str) -> str:
    """An error as --json says it, in one line."""
    return json.dumps({"error": {"code": code, "detail": detail, "meaning": CODES.get(code, "")}})
