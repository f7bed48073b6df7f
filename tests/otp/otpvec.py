# A copy of the corpus's own judge, kept as it came.
# ruff: noqa
# mypy: ignore-errors
"""Compare a recorded trace with an OTP vector (see FORMAT.md).

A runner executes vector["steps"] and produces a raw trace:

    {"steps": [{"result": <json>, "events": [[label, kind, ...], ...]}, ...],
     "final": {"alive": [label, ...]}}

where "events" are the log lines, in log order, that appeared while the step
ran and settled.  diff(vector, raw) returns a list of differences, empty when
the behaviour is that of OTP.
"""
import json

MAIL = {"exit_msg", "down_msg", "msg", "pg_event", "task_reply"}
DEFAULT_SETTLE = 3


def key(x):
    return json.dumps(x, sort_keys=True, separators=(",", ":"))


def _source(e):
    kind = e[0]
    if kind in ("exit_msg", "msg"):
        return e[1]
    if kind == "down_msg":
        return e[2]
    return "pg" if kind == "pg_event" else "task:" + e[1]


def _group(stream, keep, unordered):
    """Mark the runs of mailbox events whose order OTP does not guarantee."""
    if unordered:
        return [{"any_order": sorted(stream, key=key)}] if len(stream) > 1 else stream
    if keep:
        return stream
    out, run = [], []
    for e in stream + [None]:
        if e and e[0] in MAIL:
            run.append(e)
            continue
        deaths = sum(x[0] in ("exit_msg", "down_msg") for x in run)
        if len(run) > 1 and (deaths > 1 or len({_source(x) for x in run}) > 1):
            out.append({"any_order": sorted(run, key=key)})
        else:
            out += run
        run = []
        if e:
            out.append(e)
    return out


def _drop_racing(stream):
    """A process that dies of a signal may or may not have handled a DOWN that
    arrived in the same step: such DOWNs are not compared."""
    if stream[-1][0] == "down" and not any(e[0] in ("terminate", "result") for e in stream):
        return [e for e in stream if e[0] != "down_msg"]
    return stream


def _group_downs(seq):
    """Deaths are ordered against inits and terminates, not among themselves."""
    out, run = [], []
    for e in seq + [None]:
        if e and e[1] == "down":
            run.append(e)
            continue
        out += [{"any_order": sorted(run)}] if len(run) > 1 else run
        run = []
        if e:
            out.append(e)
    return out


def _loosen(x):
    if isinstance(x, dict):
        return {k: "*" if k == "error" else _loosen(v) for k, v in x.items()}
    if isinstance(x, list):
        if len(x) == 3 and x[0] == "exit_msg":
            return [x[0], x[1], "*"]
        if len(x) == 2 and x[0] == "down":
            return ["down", "*"]
        return [_loosen(v) for v in x]
    return x


def canonical(vector, raw):
    base = lambda label: label.split("#")[0]
    keep, unordered = set(vector.get("keep_order", [])), set(vector.get("unordered", []))
    ignore = set(vector.get("ignore_log", []))
    steps, carry = [], []
    last = len(vector["steps"]) - 1
    for i, (st, r) in enumerate(zip(vector["steps"], raw["steps"])):
        events, carry = carry + r["events"], []
        if st.get("settle", DEFAULT_SETTLE) == 0 and i < last:
            carry, events = events, []          # unsettled: counts for the next step
        streams = {}
        for e in events:
            if base(e[0]) not in ignore:
                streams.setdefault(e[0], []).append(e[1:])
        step = {"result": r["result"]}
        if streams:
            step["log"] = {k: _group(_drop_racing(v), base(k) in keep, base(k) in unordered) for k, v in sorted(streams.items())}
        order = []
        for o in vector.get("order", []):
            seq = [[e[0], e[1]] for e in events if base(e[0]) in o["of"] and e[1] in o["kinds"] and base(e[0]) not in ignore]
            order.append(_group_downs(seq) if o.get("strict") else seq)
        if any(len(q) > 1 for q in order):
            step["order"] = order
        steps.append(step)
    res = {"steps": steps, "final": {"alive": sorted(a for a in raw["final"]["alive"] if base(a) not in ignore)}}
    return _loosen(res) if vector.get("loose") else res


def _match(exp, got):
    if exp == "*":
        return True
    if isinstance(exp, dict) and isinstance(got, dict):
        return exp.keys() == got.keys() and all(_match(v, got[k]) for k, v in exp.items())
    if isinstance(exp, list) and isinstance(got, list):
        return len(exp) == len(got) and all(map(_match, exp, got))
    return exp == got and type(exp) is type(got)


def diff(vector, raw, strict=True):
    """[] or a list of readable differences.  strict=False skips the order
    views marked strict (for tracers that log deaths asynchronously)."""
    got, out = canonical(vector, raw), []
    if len(got["steps"]) != len(vector["expect"]["steps"]):
        return [f"{len(got['steps'])} steps recorded, {len(vector['expect']['steps'])} expected"]
    for i, (e, g) in enumerate(zip(vector["expect"]["steps"], got["steps"])):
        where = f"step {i} {key(vector['steps'][i])}"
        if not _match(e["result"], g["result"]):
            out.append(f"{where}: result {key(g['result'])}, OTP: {key(e['result'])}")
        le, lg = e.get("log", {}), g.get("log", {})
        for k in sorted(le.keys() | lg.keys()):
            if not _match(le.get(k, []), lg.get(k, [])):
                out.append(f"{where}: log of {k} {key(lg.get(k, []))}, OTP: {key(le.get(k, []))}")
        oe, og = e.get("order", []), g.get("order", [])
        for j, o in enumerate(vector.get("order", [])):
            if o.get("strict") and not strict:
                continue
            a, b = (oe[j] if oe else []), (og[j] if og else [])
            if oe and not _match(a, b):
                out.append(f"{where}: order {key(b)}, OTP: {key(a)}")
    if not _match(vector["expect"]["final"]["alive"], got["final"]["alive"]):
        out.append(f"alive at the end {got['final']['alive']}, OTP: {vector['expect']['final']['alive']}")
    return out
