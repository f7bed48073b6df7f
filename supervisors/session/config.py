"""What people tune of a session: provider, model, temperature, max_tokens, and whatever else its module reads."""

from __future__ import annotations

from collections.abc import Mapping

from actorcore.exit_reason import Term

MAX_TEXT = 200


def config_troubles(config: Mapping[str, Term]) -> list[str]:
    """The code of everything that is wrong with it, in a fixed order; keys other than the four are the module's own affair."""
    return [code for key, code in _CODES.items() if key in config and not _CHECKS[key](config[key])]


def config_trouble(config: Mapping[str, Term]) -> tuple[str, Term] | None:
    """None for a config that may be; else the one code, or ``invalid_config`` with all of them."""
    codes = config_troubles(config)
    if not codes:
        return None
    return (codes[0], None) if len(codes) == 1 else ("invalid_config", list(codes))


def merged(config: Mapping[str, Term], changes: Mapping[str, Term]) -> dict[str, Term]:
    """``config`` with ``changes``: 0, 0.0, an empty text and False are values like any other, None takes the key out."""
    return {key: value for key, value in {**config, **changes}.items() if value is not None}


def _is_text(value: Term) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT


def _is_temperature(value: Term) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 2


def _is_count(value: Term) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


_CODES = {
    "provider": "invalid_provider", "model": "invalid_model",
    "temperature": "invalid_temperature", "max_tokens": "invalid_max_tokens",
}  # fmt: skip
_CHECKS = {"provider": _is_text, "model": _is_text, "temperature": _is_temperature, "max_tokens": _is_count}
