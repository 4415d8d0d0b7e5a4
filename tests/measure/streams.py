"""What stays open: streams of events, websockets, people at work."""

import statistics
import time

from . import blocks, machine, peers, work
from .work import SECONDS, spent, spent_once_open

STREAMS = 500
STORM = 2000
PEOPLE = 150
TUNNELS = (1_000, 3_000, 9_000)
# For how many seconds websockets are watched at rest.
REST = 5


def websocket(peer):
    return peer.url.replace("http:", "ws:", 1)


def events(peer, mark):
    url = f"{peer.url.removesuffix('api')}events"
    seconds, found = spent_once_open(mark, "events", url, STREAMS, SECONDS)
    if found["answered"] < 0.5 * STREAMS * SECONDS:
        raise RuntimeError(f"only {found['answered']} events came")
    return {f"event of {STREAMS} streams": seconds / found["answered"] * 1e6, "p99 of an event": found["p99"]}


def echo(peer, mark):
    url = websocket(peer)
    seconds, found = spent_once_open(mark, "echo", url, 1000, 100, SECONDS)
    measured = {"message of a websocket, back and forth": seconds / found["answered"] * 1e6,
                "p50 of a message": found["median"], "p99 of a message": found["p99"]}
    for name, rate, sockets, *more in (("message of 64 KB, back and forth", 200, 20, "--size", 65536),
                                       ("message of a single websocket", 500, 1),
                                       ("message of 1000 websockets", 1000, 1000)):
        seconds, found = spent_once_open(mark, "echo", url, rate, sockets, SECONDS / 2, *more)
        measured[name] = seconds / found["answered"] * 1e6
    _, found = spent_once_open(mark, "echo", url, 1, 100, SECONDS / 2, "--closed")
    return measured | {"messages a second, as many as can be": found["answered"] / (SECONDS / 2)}


def storm(peer, mark):
    """The server ends all websockets, and all clients come back at once."""
    seconds, found = spent_once_open(mark, "storm", websocket(peer), STORM)
    return {"end and return of a websocket, all at once": seconds / STORM * 1e6,
            f"longest until one of {STORM} is back": found["longest"], "attempts to be back that failed": found["failed"]}


def lab(peer, mark):
    """Files, the contents API and websockets of people at JupyterLab: a round of all a second for each."""
    seconds, found = spent_once_open(mark, "lab", peer.url, PEOPLE, SECONDS, *work.browser_headers())
    return {"round of JupyterLab": seconds / found["answered"] * 1e6, "p99 of a round": found["p99"]}


def tunnels(folder):
    """By name of peer, of websockets at rest: KB of memory for each, the slope between few and many; and of the most of
    them the share of a processor, without pings and with one in 30 seconds for each."""
    found = {}
    with blocks.backend(folder) as (target, _):
        for make in [peers.relay, peers.axum_reverse_proxy, *peers.ALL]:
            with blocks.started(make, folder, target) as (peer, mark):
                used = []
                for count in TUNNELS:
                    with work.opened("hold", websocket(peer), count) as holder:
                        used.append(machine.memory(machine.marked(mark)))
                        if count == TUNNELS[-1]:
                            silent = at_rest(mark)
                            print(file=holder.stdin, flush=True)
                            pinged = at_rest(mark)
                found[peer.name] = (statistics.linear_regression(TUNNELS, used).slope * 1024, silent, pinged)
    return found


def at_rest(mark):
    return spent(mark, lambda: time.sleep(REST))[0] / REST
