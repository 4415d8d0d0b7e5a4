"""Proxies side by side: the same work through each, in turns, the proxy on one processor and all else on the other."""

import contextlib
import csv
import json
import math
import os
import random
import re
import statistics
import subprocess
import time

from . import machine, matrix, peers

MB, GB = 1_000_000, 1_000_000_000
RATE, CONNECTIONS, SECONDS = 2000, 64, 4
# About what a browser sends to a notebook: cookies of 1.5 kB and some twenty headers more.
BROWSER = {"Cookie": "; ".join(f"cookie-{number}={'c' * 240}" for number in range(6)), "Accept": "application/json",
           "Accept-Language": "it-IT,it;q=0.9,en;q=0.8", "Cache-Control": "no-cache", "Pragma": "no-cache",
           "Referer": "http://127.0.0.1/user/alice/lab/tree/notebook.ipynb", "X-XSRFToken": "2|" + "a" * 60,
           "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0",
           **{f"Sec-Fetch-{name}": "same-origin" for name in ("Dest", "Mode", "Site", "User", "Storage")},
           **{f"X-Measured-{number}": "some value of a header" for number in range(10)}}
ROUTES = (10, 1_000, 100_000)
TUNNELS = (1_000, 3_000, 9_000)
# A block in which others used more than this of the machine is left out, as long as enough are left.
FOREIGN, ENOUGH = 0.05, 3


RAW = os.path.join(os.path.dirname(__file__), "..", "..", "target", "bench", "proxy.csv")


class Busy:
    """How much of the two processors others used meanwhile: a share above which a figure is not trusted."""

    def __init__(self, marks):
        self.marks = marks

    def __enter__(self):
        self.began, self.own, self.all = time.monotonic(), self.ours(), self.used()
        return self

    def __exit__(self, *_):
        passed = time.monotonic() - self.began
        self.share = max(0, (self.used() - self.all) - (self.ours() - self.own)) / passed / (os.cpu_count() or 1)

    def ours(self):
        used = os.times()
        own = used.user + used.system + used.children_user + used.children_system
        return own + sum(machine.processor_time(machine.marked(mark)) for mark in self.marks)

    def used(self):
        with open("/proc/stat") as file:
            user, nice, system, _, _, irq, soft, steal, *_ = map(int, file.readline().split()[1:])
        return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def load(*arguments):
    command = ["taskset", "-c", machine.CLIENT, os.environ["SPECOLA_LOAD"], *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def spent(mark, work):
    """Seconds of processor time of a proxy during some work, and what the work gave. Without a mark: none."""
    processes = list(machine.marked(mark)) if mark else []
    before = machine.processor_time(processes)
    found = work()
    return machine.processor_time(processes) - before, found


def steady(url, *more, rate=RATE, connections=CONNECTIONS, seconds=SECONDS):
    found = load("steady", url, rate, connections, seconds, *more)
    if found["answered"] < 0.9 * rate * seconds:
        raise RuntimeError(f"only {found['answered']} of {rate * seconds} requests were answered")
    return found


def small(peer, mark):
    """Small answers over connections that are kept."""
    steady(peer.url, seconds=1)
    seconds, found = spent(mark, lambda: steady(peer.url))
    return {"small request": seconds / found["answered"] * 1e6, "p99 of a small request": found["p99"]}


def browser(peer, mark):
    headers = [word for name, value in BROWSER.items() for word in ("--header", f"{name}: {value}")]
    seconds, found = spent(mark, lambda: steady(peer.url, *headers))
    return {"request of a browser": seconds / found["answered"] * 1e6}


def close(peer, mark):
    seconds, found = spent(mark, lambda: steady(peer.url, "--close", rate=500, connections=16))
    return {"request on a connection of its own": seconds / found["answered"] * 1e6}


def saturated(peer, mark):
    """As fast as it is answered. More of it is better."""
    return {"requests a second, as many as can be": machine.hammer(peer.url, {}, SECONDS, CONNECTIONS)}


def transfers(peer, mark):
    base = peer.url.removesuffix("api")
    found = {}
    for name, arguments in {
        "MB of answers of 1 MB": (f"{base}{MB}", 250, "--connections", 4),
        "MB of an answer of 1 GB": (f"{base}{GB}", 1),
        "MB of uploads of 1 MB": (f"{base}upload", 250, "--connections", 4, "--upload", MB),
        "MB of an upload of 1 GB": (f"{base}upload", 1, "--upload", GB),
    }.items():
        seconds, result = spent(mark, lambda: load("transfer", *arguments))  # noqa: B023
        found[name] = seconds / (result["bytes"] / MB) * 1e6
    return found


def echo(peer, mark):
    url = peer.url.replace("http:", "ws:", 1)
    seconds, found = spent(mark, lambda: load("echo", url, 1000, 100, SECONDS))
    large, many = spent(mark, lambda: load("echo", url, 200, 20, SECONDS, "--size", 65536))
    return {"message of a websocket, back and forth": seconds / found["answered"] * 1e6, "p99 of a message": found["p99"],
            "message of 64 KB, back and forth": large / many["answered"] * 1e6}


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


SCENARIOS = [small, saturated, browser, close, transfers, echo]


@contextlib.contextmanager
def backend(folder):
    port = machine.free_port()
    command = [os.environ["SPECOLA_LOAD"], "backend", str(port)]
    with machine.running(command, folder, processor=machine.CLIENT) as mark:
        machine.wait_for(f"http://127.0.0.1:{port}/")
        yield port, mark


@contextlib.contextmanager
def started(make, folder, target, processor=machine.SERVER):
    peer = make(folder, target)
    if peer.command is None:
        yield peer, None
        return
    with machine.running(peer.command, folder, peer.environment, processor) as mark:
        peer.ready(target)
        yield peer, mark


def blocks(folder, count, makers, scenarios):
    """By name of peer and of figure, one value a block. The order turns from block to block."""
    found, busy = {}, []
    with backend(folder) as (target, of_backend):
        for block in range(count):
            shares = []
            for make in makers if block % 2 == 0 else reversed(makers):
                with started(make, folder, target) as (peer, mark), Busy([of_backend, *([mark] if mark else [])]) as others:
                    for scenario in scenarios:
                        for name, value in scenario(peer, mark).items():
                            found.setdefault(peer.name, {}).setdefault(name, []).append(value)
                shares.append(others.share)
            busy.append(max(shares))
    return found, busy


def kept(found, busy):
    """The blocks in which this machine was left alone, and how many are left out; all of them if too few would be left."""
    quiet = [block for block, share in enumerate(busy) if share <= FOREIGN]
    if len(quiet) < ENOUGH:
        quiet = list(range(len(busy)))
    chosen = {name: {figure: [values[block] for block in quiet] for figure, values in figures.items()}
              for name, figures in found.items()}
    return chosen, len(busy) - len(quiet)


def write_down(path, found, busy):
    """Every figure of every block, also of those that are left out."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["peer", "figure", "block", "value", "share of the machine that others used"])
        for name, figures in found.items():
            for figure, values in figures.items():
                rows.writerows([name, figure, block, value, busy[block]] for block, value in enumerate(values))


def interval(values, chance, draws=4000):
    """95 % bounds of a median, by drawing again from the values."""
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(draws))
    return medians[int(draws * 0.025)], medians[math.ceil(draws * 0.975) - 1]


def ratios(ours, theirs, chance):
    """The median of the pairs' ratios and its bounds; what costs nothing has none."""
    pairs = [mine / other for mine, other in zip(ours, theirs) if other]
    return (statistics.median(pairs), *interval(pairs, chance)) if pairs else None


def tunnels(folder):
    """KB of memory for each websocket at rest: the slope between few and many."""
    found = {}
    with backend(folder) as (target, _):
        for make in peers.ALL:
            with started(make, folder, target) as (peer, mark):
                url, used = peer.url.replace("http:", "ws:", 1), []
                for count in TUNNELS:
                    holder = subprocess.Popen(["taskset", "-c", machine.CLIENT, os.environ["SPECOLA_LOAD"], "hold", url,
                                               str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                    with holder:
                        json.loads(holder.stdout.readline())
                        used.append(machine.memory(machine.marked(mark)))
                        holder.stdin.close()
                found[peer.name] = statistics.linear_regression(TUNNELS, used).slope * 1024
    return found


def table(folder):
    """With more and more routes: processor time of a small request, and the time of a change, in microseconds."""
    found = {}
    with backend(folder) as (target, _):
        for make in (peers.configurable_http_proxy, peers.specola_as_chp):
            with started(make, folder, target) as (peer, mark):
                have, rows = 1, []
                for count in ROUTES:
                    while have < count:
                        peer.add_route(f"user/somebody-{have}", target)
                        have += 1
                    changes = []
                    for _ in range(200):
                        began = time.monotonic()
                        peer.add_route("user/changing", target)
                        changes.append((time.monotonic() - began) * 1e6)
                    rows.append((small(peer, mark)["small request"], statistics.median(changes)))
                found[peer.name] = rows
    return found


def both(folder):
    """Requests a second as fast as they are answered, and how many processors' time went into the proxy, when it has
    both processors and shares them with the load."""
    with backend(folder) as (target, _):
        with started(peers.specola, folder, target, f"{machine.SERVER},{machine.CLIENT}") as (peer, mark):
            processes = list(machine.marked(mark))
            before = machine.threads(processes)
            rate = machine.hammer(peer.url, {}, SECONDS)
            after = machine.threads(processes)
    worked = sorted((after[thread] - before.get(thread, 0) for thread in after), reverse=True)
    return rate, [share / sum(worked) for share in worked[:2]]


def report(folder, count):
    chance = random.Random(1)
    measured, busy = blocks(folder, count, [peers.nothing, *peers.ALL], SCENARIOS)
    for scenario, makers in ((handshakes, peers.ALL), (multiplexed, [peer for peer in peers.ALL if peer.speaks_http2])):
        more, others = blocks(folder, count, [peers.secured(make) for make in makers], [scenario])
        for name, figures in more.items():
            measured[name].update(figures)
        busy = [max(shares) for shares in zip(busy, others)]
    write_down(RAW, measured, busy)
    found, left_out = kept(measured, busy)
    held, changed, (rate, shares) = tunnels(folder), table(folder), both(folder)
    print(f"\nProxies, {count} blocks in turn; the proxy on one processor, load and server on the other. Microseconds of")
    print("processor time of the proxy for each, and of time where p99 is said: medians. The ratios are medians of the")
    print("ratios within a block, with their 95 % interval; of what is counted a second, more is better.\n")
    for name, version in peers.versions().items():
        print(f"  {name}: {version}")
    names = [make(folder, 1).name for make in peers.ALL]
    number = lambda value: f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"  # noqa: E731
    print(f"\n{'':<40}" + "".join(f"{name.removeprefix('configurable-'):>12}" for name in ["no proxy", *names]) +
          f"{'to haproxy':>24}{'to http-proxy':>24}{'to no proxy':>24}")
    for figure in found["Specola"]:
        of = lambda name: found[name].get(figure, [])  # noqa: B023, E731
        row = "".join(f"{number(statistics.median(of(name))) if of(name) else '':>12}" for name in ["no proxy", *names])
        for peer in ("haproxy", "configurable-http-proxy", "no proxy"):
            # Without a proxy none of its time is used, and not everybody speaks everything.
            ratio = ratios(found["Specola"][figure], of(peer), chance)
            row += f"{'{:.3f} ({:.3f} to {:.3f})'.format(*ratio) if ratio else '':>24}"
        print(f"{figure:<40}{row}")
    print(f"{'KB of memory for an idle websocket':<40}{'':>12}" + "".join(f"{number(held[name]):>12}" for name in names))
    print(f"\n{'Routes':<40}" + "".join(f"{count:>12,}" for count in ROUTES))
    for name, rows in changed.items():
        print(f"{name + ': small request':<40}" + "".join(f"{number(request):>12}" for request, _ in rows))
        print(f"{name + ': one change, through its API':<40}" + "".join(f"{number(change):>12}" for _, change in rows))
    print(f"\nWith both processors, shared with the load: {rate:,.0f} requests a second; its two busiest threads did " +
          " and ".join(f"{share:.0%}" for share in shares) + " of the work.")
    print(f"Others used {statistics.median(busy):.1%} of the machine in the median block, {max(busy):.1%} in the worst; " +
          f"{left_out} of {count} blocks are left out for that. Every figure is in {os.path.relpath(RAW)}.")
    print(f"\n{'Whether it holds':<50}" + "".join(f"{name.removeprefix('configurable-'):>12}" for name in names))
    for case, held in matrix.matrix(folder).items():
        print(f"{case:<50}" + "".join(f"{'yes' if held[name] else 'NO':>12}" for name in names))
