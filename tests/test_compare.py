"""``make compare``: what is promised of it by those whom everybody has: the floor, actorcore, multiprocessing."""

from __future__ import annotations

import os
import select
import sys

import pytest

from benchmarks import compare
from benchmarks.compare import COLUMNS, CONTESTANTS, FLOOR, Contestant
from benchmarks.peers.contract import FIGURES, Missing, program
from benchmarks.peers.process_tree import descendants

HERE = ("actorcore, from a client", FLOOR, "multiprocessing, fork")
QUICK = ("call", "told")


@pytest.mark.parametrize("name", HERE)
def test_a_contestant_is_measured_in_a_process_of_its_own_and_nothing_of_it_is_left(name):
    before = descendants(os.getpid())
    contestant = Contestant(name)
    compare.measure(contestant, sys.executable, 0.0, QUICK)
    assert (contestant.missing, contestant.failed, set(contestant.values)) == ("", "", set(QUICK))
    assert all(0 < value < 10e6 for values in contestant.values.values() for value in values)
    assert descendants(os.getpid()) == before


def test_who_is_silent_is_given_up_with_all_that_it_has_started(tmp_path, monkeypatch):
    said = """echo '{"figure": "call", "values": ['$!']}'"""
    (tmp_path / "python").write_text(f"#!/bin/sh\nsetsid sleep 1000 &\n{said}\nexec sleep 1000\n")
    (tmp_path / "python").chmod(0o755)
    patient = compare.lines

    def silent_after_a_line(fd, patience_s):
        yield next(patient(fd, 30.0))
        raise TimeoutError

    monkeypatch.setattr(compare, "lines", silent_after_a_line)
    contestant = Contestant(FLOOR)
    compare.measure(contestant, str(tmp_path / "python"), 0.0, patience_s=7)
    assert contestant.failed == "silent for 7 s: given up"
    assert has_ended(int(contestant.values["call"][0]))


def has_ended(os_pid):
    try:
        handle = os.pidfd_open(os_pid)
    except ProcessLookupError:
        return True
    is_ended = select.select([handle], [], [], 0)[0] == [handle]
    os.close(handle)
    return is_ended


def test_lines_come_whole_and_silence_is_an_error():
    reader, writer = os.pipe()
    os.write(writer, b"one\ntw")
    found = compare.lines(reader, 0.0)
    assert next(found) == b"one"
    with pytest.raises(TimeoutError):
        next(found)
    os.write(writer, b"o\nthree\n")
    os.close(writer)
    assert list(compare.lines(reader, 0.0)) == [b"o", b"three"]
    os.close(reader)


def test_what_is_not_installed_is_missing_and_what_breaks_has_failed(tmp_path):
    bare, broken = Contestant("s6"), Contestant("Ray")
    for name, line, contestant in (
        ("bare", """echo '{"missing": "no s6"}'; echo '{"closed": true}'""", bare),
        ("broken", """echo '{"figure": "call", "values": [1.0]}'; echo 'it broke' >&2; exit 1""", broken),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
        compare.measure(contestant, str(tmp_path / name), 0.0)
    assert (bare.missing, bare.failed, bare.values) == ("no s6", "", {})
    assert (broken.missing, broken.failed, broken.values) == ("", "it broke", {"call": [1.0]})


def test_the_table_has_medians_and_the_best_and_says_who_is_ahead():
    floor = Contestant(FLOOR, "1", values={"call": [2.0], "casts": [3e6]})
    ours = Contestant("actorcore, from a client", "0.1", values={"call": [12.0, 10.0, 11.0], "casts": [1e6, 2e6]})
    quick = Contestant("Thespian", "4", {"told": "late"}, {"casts": "mute", "told": "mute"}, values={"call": [5000.0, 9.0, 7.0]})
    bare = Contestant("no isolation: pykka", "4", values={"call": [1.0]})
    table = compare.markdown([floor, ours, quick, bare]).splitlines()
    assert table[3] == "| actorcore, from a client | – | 11 µs (10 µs) | 1.5 M/s (2 M/s) | – | – | – | – |"
    assert table[9] == (
        "- **Thespian**, 4; kill -9 → watcher told: late; no one way, 64 B, kill -9 → watcher told: mute"
    )
    assert compare.behind([floor, ours, quick, bare]) == ["call, 64 B: behind Thespian"]
    (row,) = [row for row in compare.rows([floor, quick]) if "Thespian" in row.what]
    assert (row.what, row.figure, row.least, row.floor, row.ratio) == ("call, 64 B: Thespian 4", 9.0, 7.0, 2.0, 4.5)


def test_every_contestant_has_a_module_and_every_figure_a_column():
    modules = {path.stem for path in (compare.ROOT / "benchmarks" / "peers").glob("on_*.py")}
    assert {place.partition(":")[0] for place in CONTESTANTS.values()} == modules
    assert set(COLUMNS) == set(FIGURES)


def test_a_program_that_is_not_there_is_missing_by_its_package():
    with pytest.raises(Missing, match="no no-such-program: it is in the package nowhere"):
        program("no-such-program", "nowhere")
