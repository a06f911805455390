"""Markov attribution of generated journeys: ours against the PyPI package ChannelAttribution, in one run.

    python tools/markov.py            PATHS=1000000 ORDERS=1,2

Ours is timed from opening the CSV file to the last effect; ChannelAttribution from a DataFrame that is in memory
already. Both then stand against the definition, solved anew here with numpy: ours must agree to 1e-9, while
ChannelAttribution simulates and is off by what it is off. Exits with 1 when ours does not agree.
"""

import contextlib
import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path

try:
    import numpy
    import pandas

    with contextlib.redirect_stdout(io.StringIO()):
        import ChannelAttribution
except ImportError as error:
    print(f"SKIPPED: Markov against ChannelAttribution: {error}")
    raise SystemExit(0)

from measure import RELEASE, ROOT, machine, run

PATHS = int(os.environ.get("PATHS", 1_000_000))
ORDERS = [int(order) for order in os.environ.get("ORDERS", "1,2").split(",")]
# A dense system of this many states is all that the check below is meant for.
MOST_STATES = 2_500


def ours(*arguments):
    ran = run([RELEASE / "examples" / "markov", *arguments], ROOT)
    if ran.code != 0:
        raise SystemExit(f"markov {' '.join(map(str, arguments))}: exit code {ran.code}\n{ran.stderr[-2000:]}")
    return ran


def theirs(data, order):
    begun = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()):
        found = ChannelAttribution.markov_model(
            data, "path", "conversions", var_value="value", var_null="nulls", order=order, verbose=False, flg_pro=False
        )
    took = time.monotonic() - begun
    return dict(zip(found["channel_name"], found["total_conversions"])), took


def by_definition(data, order):
    """Attributed conversions by channel, from the definition: sliding windows, I - Q, a system per removal."""
    number, counts, starts, ends, conversions = {}, {}, {}, {}, {}
    grouped = data.groupby("path", as_index=False)[["conversions", "nulls"]].sum()
    for text, converted, nulls in zip(grouped["path"], grouped["conversions"], grouped["nulls"]):
        path = text.split(" > ")
        windows = [tuple(path[i : i + order]) for i in range(max(1, len(path) - order + 1))]
        states = [number.setdefault(w, len(number)) for w in windows]
        people = converted + nulls
        starts[states[0]] = starts.get(states[0], 0) + people
        ends[states[-1]] = ends.get(states[-1], 0) + people
        conversions[states[-1]] = conversions.get(states[-1], 0) + converted
        for pair in zip(states, states[1:]):
            counts[pair] = counts.get(pair, 0) + people
    n = len(number)
    if n > MOST_STATES:
        return None
    moves = numpy.zeros((n, n))
    for (a, b), people in counts.items():
        moves[a, b] = people
    of = lambda by: numpy.array([by.get(s, 0) for s in range(n)], dtype=float)
    out = moves.sum(axis=1) + of(ends)
    q, r, start = moves / out[:, None], of(conversions) / out, of(starts) / of(starts).sum()

    def probability(kept):
        solved = numpy.linalg.solve(numpy.eye(len(kept)) - q[numpy.ix_(kept, kept)], r[kept])
        return start[kept] @ solved

    whole = probability(numpy.arange(n))
    channels = sorted({channel for window in number for channel in window})
    effects = {}
    for channel in channels:
        kept = numpy.array([s for w, s in number.items() if channel not in w], dtype=int)
        effects[channel] = 1 - probability(kept) / whole
    scale = of(conversions).sum() / sum(effects.values())
    return {channel: effect * scale for channel, effect in effects.items()}


def furthest(found, exact):
    """The largest error of a channel's conversions, relative to the exact number."""
    return max(abs(found.get(channel, 0.0) - value) / value for channel, value in exact.items())


def main():
    wrong = False
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "paths.csv"
        ours("generate", file, PATHS)
        data = pandas.read_csv(file)
        for order in ORDERS:
            report = json.loads(ours("run", file, order).stdout)
            found, took = theirs(data, order)
            print(
                f"Markov order {order} over {report['paths']} paths, {report['states']} states: ours {report['wall_s']:.3f} s"
                f" (reading {report['read_s']:.3f}), ChannelAttribution {their_version()} {took:.2f} s:"
                f" {took / report['wall_s']:.1f} times as long"
            )
            exact = by_definition(data, order)
            if exact is None:
                print(f"  more than {MOST_STATES} states: not checked against numpy")
                continue
            mine = furthest({c: row["conversions"] for c, row in report["channels"].items()}, exact)
            print(f"  furthest from the exact solution: ours {mine:.1e}, ChannelAttribution {furthest(found, exact):.1e}")
            wrong |= mine > 1e-9
    return 1 if wrong else 0


def their_version():
    from importlib.metadata import version

    return version("ChannelAttribution")


if __name__ == "__main__":
    if "--no-machine" not in sys.argv:
        print(machine())
    raise SystemExit(main())
