"""Proxies side by side: the same work through each, in turns, the proxy on one processor and all else on the other."""

import csv
import math
import os
import random
import statistics

from . import answers, machine, matrix, micro, peers, routes, streams
from .blocks import blocks, kept

RAW = os.path.join(os.path.dirname(__file__), "..", "..", "target", "bench", "proxy.csv")
# What columns are called.
SHORT = {"bare relay": "relay", "configurable-http-proxy": "chp", "hyper-reverse-proxy": "hyper-rp",
         "axum-reverse-proxy": "axum-rp"}
# Of columns, the first of which says what is measured.
WHAT, RATIO, VALUE = 42, 21, 10
BOTH = f"{machine.SERVER},{machine.CLIENT}"


def measures():
    """What is measured of whom: proxies and scenarios that belong together."""
    return [
        ([peers.nothing, peers.relay, *peers.LIBRARIES, *peers.ALL],
         [answers.small, answers.calls, answers.saturated, answers.browser, answers.close, answers.transfers, streams.echo,
          streams.events, streams.storm, streams.lab]),
        ([peers.serverless(make) for make in peers.ALL], [answers.failing]),
        ([peers.secured(make) for make in peers.ALL], [answers.handshakes]),
        ([peers.secured(make) for make in peers.ALL if make.speaks_http2], [answers.multiplexed]),
    ]


def measured(folder, count):
    """By name of peer and of figure, one value a block; and how much of the machine others used in each block."""
    found, busy = {}, [0] * count
    for makers, scenarios in measures():
        more, others = blocks(folder, count, makers, scenarios)
        for name, figures in more.items():
            found.setdefault(name, {}).update(figures)
        busy = [max(shares) for shares in zip(busy, others)]
    return found, busy


def measured_with_two(folder, count):
    """The same of those that can have two threads, which they share with load and server."""
    return blocks(folder, count, peers.TWO_THREADS, [answers.small, answers.threads, answers.close], BOTH)


def write_down(path, tables):
    """Every figure of every block, also of those that are left out."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["threads", "peer", "figure", "block", "value", "share of the machine that others used"])
        for threads, (found, busy) in tables.items():
            for name, figures in found.items():
                for figure, values in figures.items():
                    rows.writerows([threads, name, figure, block, value, busy[block]] for block, value in enumerate(values))


def interval(values, chance, draws=4000):
    """95 % bounds of a median, by drawing again from the values."""
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(draws))
    return medians[int(draws * 0.025)], medians[math.ceil(draws * 0.975) - 1]


def ratios(ours, theirs, chance):
    """The median of the pairs' ratios and its bounds; what costs nothing has none."""
    pairs = [mine / other for mine, other in zip(ours, theirs) if other]
    return (statistics.median(pairs), *interval(pairs, chance)) if pairs else None


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


def with_interval(ratio):
    if not ratio:
        return ""
    middle, low, high = (f"{value:.2f}" if value < 10 else f"{value:.0f}" for value in ratio)
    return f"{middle} ({low} to {high})"


def line(what, ratios, values):
    return f"{what:<{WHAT}}{ratios}" + "".join(f"{'' if value is None else number(value):>{VALUE}}" for value in values)


def heads(names):
    return "".join(f"{SHORT.get(name, name):>{VALUE}}" for name in names)


def print_table(found, names, others):
    """A row for each figure: the ratios of Specola to others, and the medians of all."""
    chance = random.Random(1)
    print(f"\n{'':<{WHAT}}" + "".join(f"{'to ' + SHORT.get(name, name):>{RATIO}}" for name in others) + heads(names))
    for figure, ours in found["Specola"].items():
        # Not everybody speaks everything.
        theirs = {name: found.get(name, {}).get(figure) for name in names}
        ratio = [with_interval(ratios(ours, theirs[name] or [], chance)) for name in others]
        print(line(figure, "".join(f"{text:>{RATIO}}" for text in ratio),
                   [statistics.median(values) if values else None for values in theirs.values()]))


def print_tunnels(found, names, width):
    most = f"{streams.TUNNELS[-1]:,}"
    for what, which, unit in (("KB of memory for an idle websocket", 0, 1),
                              (f"% of a processor, {most} idle websockets", 1, 100),
                              (f"% of a processor, {most} and their pings", 2, 100)):
        print(line(what, " " * width, [found[name][which] * unit if name in found else None for name in names]))


def print_routes(found):
    print(f"\n{'Routes':<66}" + "".join(f"{count:>12,}" for count in routes.ROUTES))
    for name, (rows, quiet, disturbed, added) in found.items():
        figures = ("small request", "one change, through its API", "reading all, through its API")
        for what, values in zip(figures, zip(*rows)):
            print(f"{name + ': ' + what:<66}" + "".join(f"{number(value):>12}" for value in values))
        last = "".join(f"{'':>12}" for _ in routes.ROUTES[1:])
        print(f"{f'{name}: p99 of a small request at {routes.MEANWHILE} a second':<66}{last}{number(quiet):>12}")
        print(f"{f'{name}: the same while {added:,.0f} routes a second are added':<66}{last}{number(disturbed):>12}")


def report(folder, count):
    one, two = measured(folder, count), measured_with_two(folder, count)
    write_down(RAW, {1: one, 2: two})
    (found, left_out), (found_with_two, left_out_with_two) = kept(*one), kept(*two)
    held, changed, parts = streams.tunnels(folder), routes.table(folder), micro.medians()
    print(f"\nProxies, {count} blocks in turn; the proxy on one processor, load and server on the other. Microseconds of")
    print("processor time of the proxy for each, and of time where p50, p99 or longest is said: medians. The ratios are medians")
    print("of the ratios of Specola to others within a block, with their 95 % interval; of what is counted a second, more is")
    print("better. The relay passes bytes and reads nothing of them. Where a column is empty, that proxy cannot do it.\n")
    for name, version in peers.versions().items():
        print(f"  {name}{f' ({SHORT[name]})' if name in SHORT else ''}: {version}")
    libraries = [make(folder, 1).name for make in peers.LIBRARIES]
    names = [make(folder, 1).name for make in peers.ALL]
    all_names = ["no proxy", "bare relay", *libraries, *names]
    others = ["haproxy", "configurable-http-proxy", "bare relay"]
    print_table(found, all_names, others)
    print_tunnels(held, all_names, RATIO * len(others))
    print("\nWith two threads on both processors, which they share with load and server:")
    print_table(found_with_two, [make(folder, 1).name for make in peers.TWO_THREADS], ["haproxy", "nginx"])
    print_routes(changed)
    print("\nParts by themselves, in nanoseconds:")
    for what, median in parts.items():
        print(f"{what:<66}{number(median):>12}")
    busy = [max(shares) for shares in zip(one[1], two[1])]
    print(f"\nOthers used {statistics.median(busy):.1%} of the machine in the median block, {max(busy):.1%} in the worst; " +
          f"{left_out} and {left_out_with_two} of {count} blocks are left out for that. " +
          f"Every figure is in {os.path.relpath(RAW)}.")
    print(f"\n{'Whether it holds':<50}" + heads([*libraries, *names]))
    for case, held in matrix.matrix(folder).items():
        print(f"{case:<50}" + "".join(f"{'yes' if held[name] else 'NO':>{VALUE}}" for name in [*libraries, *names]))
