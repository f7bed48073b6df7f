"""What a zygote has made is immortal where the interpreter can have it so, in a program of its own: there is no way back."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

PROGRAM = '''
import gc, json, sys

class Kind:
    attribute = ["a list in a class"]
    def method(self, key=("a", "tuple")):
        return "a constant of the code"

def generator():
    yield 1

def made():
    return [Kind, Kind.method, Kind.method.__code__, Kind.method.__code__.co_consts[1], Kind.method.__defaults__,
            Kind.attribute, Kind.attribute[0], "".join(["made", " of ", "parts"]), 10**9, generator, sys.modules["json"]]

things = made()
running = generator()
next(running)
if sys.argv[1] == "immortal":
    from actorcore.runtime.zygote.immortals import immortalize
    count = immortalize()
else:
    count = 0
gc.collect()
gc.freeze()
before = [sys.getrefcount(thing) for thing in things]
held = [list(things) for _ in range(100)]
after = [sys.getrefcount(thing) for thing in things]
young = object()
young_before = sys.getrefcount(young)
held.append(young)
grown = [sys.getrefcount(young) - young_before]

class Dies:
    def __del__(self):
        grown.append("died")

Dies()
print(json.dumps({"many": count > 10_000, "counted": [b - a for a, b in zip(before, after)], "young": grown,
                  "goes on": [list(running), Kind().method(), json.loads("[1]")]}))
'''
GOES_ON = [[], "a constant of the code", [1]]


def told(how: str) -> Any:
    result = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(result.stdout)


def test_references_to_what_is_immortal_are_not_counted_and_what_is_made_later_lives_and_dies_as_ever() -> None:
    there_are = sys.version_info >= (3, 12)
    young = [1, "died"]
    counted = [0 if there_are else 100] * 11
    assert told("immortal") == {"many": there_are, "counted": counted, "young": young, "goes on": GOES_ON}


def test_without_it_each_reference_is_counted() -> None:
    assert told("mortal") == {"many": False, "counted": [100] * 11, "young": [1, "died"], "goes on": GOES_ON}
