"""An hour of people at JupyterLab through Specola alone: what grows meanwhile."""

import json
import os
import sys
import tempfile
import time

from . import blocks, machine, peers, work

# With a round of each a second, load and server together use a quarter of their processor.
PEOPLE, MINUTE = 300, 60
# Of the first minutes and of the last that are compared, at most.
COMPARED = 5
# What the least memory and the fewest descriptors of these may have grown: how many rounds are under way varies.
MEGABYTES, FILES = 4, 32


def descriptors(processes):
    return sum(len(os.listdir(f"/proc/{process}/fd")) for process in processes)


def minutes(folder, count):
    """Of each minute: MB of memory, descriptors, the load's figures, and the share of a processor."""
    with blocks.backend(folder) as (target, _), blocks.started(peers.specola, folder, target) as (peer, mark):
        # They are still there when the last minute is looked at.
        seconds = count * MINUTE + 5
        arguments = ("lab", peer.url, PEOPLE, seconds, "--report", MINUTE, *work.browser_headers())
        with work.opened(*arguments) as running:
            processes = list(machine.marked(mark))
            for _ in range(count):
                began = time.monotonic()
                used, line = work.spent(mark, running.stdout.readline)
                yield (machine.memory(processes), descriptors(processes), json.loads(line),
                       used / (time.monotonic() - began))
            running.stdout.readline()


def report(count):
    print(f"{PEOPLE} people with {3 * PEOPLE} websockets, a round of each every second, {count} minutes\n")
    print(f"{'minute':>6}{'MB':>8}{'descriptors':>13}{'rounds':>9}{'p50, us':>10}{'p99, us':>10}{'longest, us':>13}{'processor':>11}")
    seen, late = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for number, (memory, files, found, share) in enumerate(minutes(folder, count), 1):
            seen.append((memory, files))
            late += found["answered"] < 0.98 * PEOPLE * MINUTE
            print(f"{number:>6}{memory:>8.1f}{files:>13}{found['answered']:>9}{found['median']:>10}{found['p99']:>10}"
                  f"{found['longest']:>13}{share:>11.1%}", flush=True)
    several = max(1, min(COMPARED, count // 2))
    (memory, files), (memory_then, files_then) = (
        [min(values) for values in zip(*part)] for part in (seen[:several], seen[-several:]))
    print(f"\nThe least of the first {several} and of the last {several} minutes: {memory:.1f} and {memory_then:.1f} MB, "
          f"{files} and {files_then} descriptors.")
    if late:
        print(f"In {late} minutes not all rounds were done.")
    if late or memory_then > memory + MEGABYTES or files_then > files + FILES:
        sys.exit("It does not hold.")
