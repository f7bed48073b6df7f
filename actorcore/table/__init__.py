"""The parts of the process table, one idea per file; :mod:`actorcore.process_table` puts them together.

entry: one process. state: all of them, as one value. turn: the effects of one event. births, deaths, requests,
clients: the rules. invariants: what must hold after each event.
"""
