"""Requests and their answers, as one peer after the other gives them."""

import re
import subprocess

from . import machine
from .work import CONNECTIONS, MB, SECONDS, browser_headers, load, spent, steady

GB = 1000 * MB
# How many answers of 1 GB at once. What of large bodies has not come through after these seconds is not waited for.
LARGE, ENOUGH = 8, 2


def small(peer, mark):
    """Small answers over connections that are kept."""
    steady(peer.url, seconds=1)
    processes = list(machine.marked(mark)) if mark else []
    before = machine.switches(processes)
    seconds, found = spent(mark, lambda: steady(peer.url))
    switches = machine.switches(processes) - before
    return {"small request": seconds / found["answered"] * 1e6, "p50 of a small request": found["median"],
            "p99 of a small request": found["p99"], "p99.9 of a small request": found["p999"],
            "switches of a thread for a small request": switches / found["answered"]}


def calls(peer, mark):
    """System calls for small answers, apart from all that is timed: to count them takes longer than they do."""
    if not mark:
        return {}
    with machine.counted(list(machine.marked(mark))) as count:
        found = steady(peer.url, rate=500, connections=16, seconds=1)
    return {"system calls for a small request": count() / found["answered"]}


def browser(peer, mark):
    seconds, found = spent(mark, lambda: steady(peer.url, *browser_headers()))
    return {"request of a browser": seconds / found["answered"] * 1e6}


def close(peer, mark):
    seconds, found = spent(mark, lambda: steady(peer.url, "--close", rate=500, connections=16))
    return {"request on a connection of its own": seconds / found["answered"] * 1e6}


def saturated(peer, mark):
    """As fast as it is answered. More of it is better."""
    return {"requests a second, as many as can be": machine.hammer(peer.url, {}, SECONDS, CONNECTIONS)}


def threads(peer, mark):
    """As fast as it is answered with more than one thread, and how much of the work the busiest thread does."""
    processes = list(machine.marked(mark))
    before = machine.threads(processes)
    found = saturated(peer, mark)
    worked = [used - before.get(thread, 0) for thread, used in machine.threads(processes).items()]
    return found | {"% of that by the busiest thread": max(worked) / sum(worked) * 100}


def transfers(peer, mark):
    base = peer.url.removesuffix("api")
    found, processes = {}, list(machine.marked(mark)) if mark else []
    machine.forget_peak(processes)
    for name, arguments in {
        "MB of answers of 1 MB": (f"{base}{MB}", 250, "--connections", 4, "--seconds", ENOUGH),
        "MB of an answer of 1 GB": (f"{base}{GB}", 1, "--seconds", ENOUGH),
        f"MB of {LARGE} answers of 1 GB at once": (f"{base}{GB}", GB, "--connections", LARGE, "--seconds", ENOUGH),
        "MB of uploads of 1 MB": (f"{base}upload", 250, "--connections", 4, "--upload", MB, "--seconds", ENOUGH),
        "MB of an upload of 1 GB": (f"{base}upload", 1, "--upload", GB),
        "MB of an upload of 1 GB in chunks": (f"{base}upload", 1, "--upload", GB, "--chunked"),
    }.items():
        seconds, result = spent(mark, lambda: load("transfer", *arguments))  # noqa: B023
        found[name] = seconds / (result["bytes"] / MB) * 1e6
    return found | {"MB of memory during transfers, at most": machine.peak(processes)}


def failing(peer, mark):
    """The server is gone: each answer is a page that says so."""
    seconds, found = spent(mark, lambda: steady(peer.url, "--status", peer.status, rate=500, connections=16))
    return {"answer for a server that is gone": seconds / found["answered"] * 1e6}


def handshakes(peer, mark):
    """New connections with a full handshake of TLS 1.3 each, one after the other."""
    command = ["taskset", "-c", machine.CLIENT, "openssl", "s_time", "-connect", f"127.0.0.1:{peer.port}", "-new",
               "-time", str(SECONDS)]
    seconds, done = spent(mark, lambda: subprocess.run(command, check=True, capture_output=True, text=True))
    return {"handshake of TLS": seconds / int(re.search(r"^(\d+) connections in", done.stdout, re.M)[1]) * 1e6}


def multiplexed(peer, mark):
    """Small answers over HTTP/2: four connections of 25 streams each, over TLS."""
    command = ["taskset", "-c", machine.CLIENT, "h2load", "-n", "20000", "-c", "4", "-m", "25", peer.url]
    seconds, done = spent(mark, lambda: subprocess.run(command, check=True, capture_output=True, text=True))
    if "20000 2xx" not in done.stdout or "Application protocol: h2" not in done.stdout:
        raise RuntimeError(f"{peer.url}: {done.stdout}")
    return {"request over HTTP/2": seconds / 20000 * 1e6}
