"""Measures everything in turn and prints the table."""

import importlib.metadata
import os
import signal
import statistics
import subprocess
import sys
import tempfile

from . import answers, hubs, kubernetes, lab, peers, proxy, scale
from .blocks import blocks

SECONDS = 5


def folder(root, name):
    path = os.path.join(root, name)
    os.mkdir(path)
    return path


def measure_hubs(root, rounds):
    database = os.path.join(root, "database.sqlite")
    hubs.make_database(database)
    both = [hubs.JupyterHub(folder(root, "jupyterhub"), database), hubs.Specola(folder(root, "specola"), database)]
    found = {hub.name: {"start": hubs.measure_start(hub, rounds)} for hub in both}
    with hubs.started(both[0]) as (first, _), hubs.started(both[1]) as (second, _):
        running = list(zip(both, (first, second)))
        shapes = [hubs.check(hub) for hub in both]
        if shapes[0] != shapes[1]:
            print(f"The answers differ in their keys:\n  JupyterHub {shapes[0]}\n  Specola    {shapes[1]}")
        for hub, mark in running:
            of_hub, of_proxy = hubs.measure_memory(hub, mark)
            found[hub.name] |= {"hub memory": [of_hub], "proxy memory": [of_proxy]}
        for _ in range(rounds):
            for hub, mark in running:
                for name, value in hubs.measure(hub, mark, SECONDS).items():
                    found[hub.name].setdefault(name, []).append(value)
    return found


def line(what, reference, own, more_is_better, note=""):
    reference, own = statistics.median(reference), statistics.median(own)
    ratio = own / reference if more_is_better else reference / own
    number = lambda value: f"{value:,.0f}" if value >= 100 else f"{value:.2f}"  # noqa: E731
    return f"{what:<46} {number(reference):>12} {number(own):>12} {ratio:>8.1f} x  {note}"


def main(rounds):
    with tempfile.TemporaryDirectory() as root:
        found = measure_hubs(root, rounds)
        measured, _ = blocks(root, rounds, [peers.configurable_http_proxy, peers.haproxy, peers.specola], [answers.small])
        of_proxies = {name: figures["small request"] for name, figures in measured.items()}
    theirs, ours = found["JupyterHub"], found["Specola"]
    haproxy = statistics.median(of_proxies["haproxy"])
    version = subprocess.run([os.environ["SPECOLA_CHP"], "--version"], capture_output=True, text=True).stdout.strip()
    print(f"\nMedians of {rounds} rounds. Server on one processor, load on another; {hubs.PEOPLE} people in groups.")
    print(f"JupyterHub {importlib.metadata.version('jupyterhub')}, configurable-http-proxy {version}.\n")
    print(f"{'':<46} {'JupyterHub':>12} {'Specola':>12}   better by")
    print(line("GET /hub/api/users/NAME, requests/s", theirs["user"], ours["user"], True))
    print(line("GET /hub/api/users?limit=200, requests/s", theirs["page"], ours["page"], True))
    print(line("proxy, µs of processor a small request", of_proxies["configurable-http-proxy"], of_proxies["Specola"],
               False, f"haproxy: {haproxy:.1f}"))
    print(line("hub at rest, MB", theirs["hub memory"], ours["hub memory"], False))
    print(line("proxy at rest, MB", theirs["proxy memory"], ours["proxy memory"], False))
    print(line("start to first answer, s", theirs["start"], ours["start"], False))
    with tempfile.TemporaryDirectory() as root:
        scale.report(root)


# What was started ends too.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
match sys.argv[1:]:
    case ["proxy", *count]:
        with tempfile.TemporaryDirectory() as root:
            proxy.report(root, int(count[0]) if count else 7)
    case ["lab", *count]:
        lab.report(int(count[0]) if count else 60)
    case ["kubernetes", *counts]:
        both = [int(count) for count in counts[:-1]] if counts else [500, 1000]
        with tempfile.TemporaryDirectory() as root:
            kubernetes.report(root, both, [int(counts[-1]) if counts else 10_000])
    case count:
        main(int(count[0]) if count else 3)
