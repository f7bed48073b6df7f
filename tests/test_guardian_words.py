"""Which zygotes are started with the daemon."""

from __future__ import annotations

import pytest

from actorcore.guardian_words import Template


@pytest.mark.parametrize(
    ("template", "is_lazy"),
    [
        (Template("lean"), False),
        (Template("lean", (), 4), False),
        (Template("asyncio"), True),
        (Template("asyncio", (), 2), False),
        (Template("mine", ("json",)), False),
        (Template("mine", ("json",), 0, True), True),
        (Template("mine", ("json",), 2, True), False),
    ],
)
def test_a_template_is_lazy_when_it_has_no_pool_and_nothing_to_import_or_waits(template: Template, is_lazy: bool) -> None:
    assert template.is_lazy() is is_lazy
