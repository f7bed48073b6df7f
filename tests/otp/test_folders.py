"""``python -m tests.otp DIR`` with folders of others: whatever is in them, each file is accounted for in the last line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.otp import __main__ as runner
from tests.otp.corpus import OPERATIONS, VECTORS, load, operations_of, trouble_with, unbuilt_in

VECTOR = json.loads((VECTORS / "names__taken.json").read_text())


def lines_of(where: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Exit status, and what is printed, in core mode."""
    monkeypatch.setattr("sys.argv", ["tests.otp", str(where)])
    status = runner.main()
    return status, capsys.readouterr().out.splitlines()


def test_a_folder_of_all_sorts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    deep = tmp_path / "deep" / "er"
    deep.mkdir(parents=True)
    for place in (tmp_path, deep):  # twice the same id: both are played
        (place / "taken.json").write_text(json.dumps(VECTOR))
    (tmp_path / "INDEX.tsv").write_text("no vector, and none that claims to be one")
    (tmp_path / "cut.json").write_text(json.dumps(VECTOR)[:-9])
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "list.json").write_text("[]")
    (deep / "later.json").write_text(json.dumps({**VECTOR, "format": 2}))
    (deep / "unknown.json").write_text(json.dumps({**VECTOR, "steps": [{"op": "do", "who": "a", "ops": [{"op": "fly"}]}],
                                                   "expect": {"steps": [{"result": 1}], "final": {"alive": []}}}))  # fmt: skip
    status, lines = lines_of(tmp_path, monkeypatch, capsys)
    assert (status, lines[-1]) == (1, "2 passed, 3 failed, 2 skipped")
    assert lines[-3:-1] == ["skipped, not built yet: fly (1)", "skipped, not built yet: format 2 (1)"]
    said = {line.partition(": ")[0].removeprefix(f"{tmp_path}/"): line.split(": ")[1] for line in lines[:-3]}
    assert said == {
        "bytes.json": "cannot be read as JSON", "cut.json": "cannot be read as JSON", "list.json": "no vector",
    }  # fmt: skip


@pytest.mark.parametrize("where", ["", "nowhere"])
def test_nothing_to_play(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lines_of(tmp_path / where, monkeypatch, capsys) == (1, ["0 passed, 0 failed, 0 skipped"])


def test_one_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = VECTORS / "names__taken.json"
    assert lines_of(file, monkeypatch, capsys) == (0, ["1 passed, 0 failed, 0 skipped"])


@pytest.mark.parametrize(("change", "trouble"), [
    ({}, None),
    ({"format": 2, "steps": "anything"}, None),
    ({"format": None}, "a key of a type that it cannot have"),
    ({"id": 7}, "a key of a type that it cannot have"),
    ({"defs": {"a": {}}}, "defs: a has no kind"),
    ({"steps": [{}]}, "steps[0]: no op"),
    ({"steps": []}, "expect: not the results of 0 steps and who is alive"),
    ({"expect": {"steps": [{}] * len(VECTOR["steps"]), "final": {"alive": []}}}, "expect.steps[0]: no result"),
    ({"expect": {"steps": []}}, f"expect: not the results of {len(VECTOR['steps'])} steps and who is alive"),
])  # fmt: skip
def test_what_keeps_a_map_from_being_a_vector(change: dict[str, Any], trouble: str | None) -> None:
    assert trouble_with({**VECTOR, **change}) == trouble


def test_a_map_without_its_parts_is_no_vector() -> None:
    assert trouble_with({"id": "x", "format": 1}) == "defs, expect, kinds, steps: missing"


def test_every_operation_of_the_format_is_built() -> None:
    text = (Path(__file__).parent / "FORMAT.md").read_text()
    table = text[text.index("| op | arguments") : text.index("Any supervisor API")]
    named = {name.strip("` ") for line in table.splitlines()[2:] if line for name in line.split("|")[1].split(",")}
    assert named - {"reg_*"} <= OPERATIONS
    assert {op for vector in load(VECTORS) for op in operations_of(vector["steps"])} <= OPERATIONS


def test_a_kind_that_only_the_definitions_name_is_found() -> None:
    assert unbuilt_in({**VECTOR, "defs": {"x": {"kind": "oracle"}}}) == "oracle"
