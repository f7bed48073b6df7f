"""The log: many records in few writes, each a line of its own, and none that is lost uncounted."""

from __future__ import annotations

import json
import os
import subprocess
import sys

RECORDS = 3000
CODE = f"""
from actorcore.runtime import log
log.open_stderr()
log.report_all(("kind", number, "x" * (number % 200)) for number in range({RECORDS}))
print(log.dropped())
"""


def serials(lines: bytes) -> list[int]:
    return [json.loads(line)["serial"] for line in lines.splitlines()]


def test_many_records_are_lines_in_their_order() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True)
    dropped = int(done.stdout)
    kept = serials(done.stderr)
    assert len(kept) + dropped == RECORDS
    assert kept == sorted(set(kept))


def test_what_a_pipe_that_nobody_reads_does_not_take_is_counted_record_by_record() -> None:
    reader, writer = os.pipe()
    done = subprocess.run([sys.executable, "-c", CODE], stderr=writer, stdout=subprocess.PIPE, check=True, timeout=30)
    os.close(writer)
    with open(reader, "rb") as pipe:
        kept = serials(pipe.read())
    assert 0 < len(kept) < RECORDS
    assert kept == sorted(set(kept))
    assert len(kept) + int(done.stdout) == RECORDS
