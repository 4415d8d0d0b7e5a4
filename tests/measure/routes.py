"""Proxies whose routes are changed through an API: what many routes cost, and what changes cost others."""

import json
import statistics
import subprocess
import time

from . import answers, blocks, machine, peers, work

ROUTES = (10, 1_000, 100_000)
# Routes a second that are added while small requests are answered, and how many of these a second.
ADDED, MEANWHILE = 1000, 500
# More a second than anybody takes.
FASTEST = 20_000


class Routes:
    """Those of one peer, who has some already."""

    def __init__(self, peer, folder):
        self.peer, self.folder, self.have = peer, folder, 1

    def adding(self, count, rate):
        """Arguments of a load that adds so many, of which so many a second are due."""
        names = range(self.have, self.have + count)
        self.have += count
        asked = peers.write(self.folder, "routes-to-add", "".join(
            f"/api/routes/user/somebody-{number} {peers.TOKEN}\n" for number in names))
        return ("steady", f"http://127.0.0.1:{self.peer.api_port}/", rate, 8, count / rate, asked,
                "--post", json.dumps({"target": f"http://127.0.0.1:{self.peer.target}"}), "--status", 201)

    def grow(self, count):
        if count > self.have:
            work.load(*self.adding(count - self.have, FASTEST))

    def change(self):
        """Microseconds of one change."""
        took = []
        for _ in range(200):
            began = time.monotonic()
            self.peer.add_route("user/changing")
            took.append((time.monotonic() - began) * 1e6)
        return statistics.median(took)

    def read_all(self):
        """Microseconds of reading all."""
        took = []
        for _ in range(5):
            began = time.monotonic()
            machine.get(f"http://127.0.0.1:{self.peer.api_port}/api/routes", peers.HEADERS)
            took.append((time.monotonic() - began) * 1e6)
        return statistics.median(took)

    def p99(self, seconds):
        return work.steady(self.peer.url, rate=MEANWHILE, seconds=seconds)["p99"]

    def p99_while_added(self, seconds):
        """And how many were added a second."""
        arguments = self.adding(ADDED * seconds, ADDED)
        began = time.monotonic()
        with subprocess.Popen(work.command(*arguments), stdout=subprocess.PIPE, text=True) as adding:
            p99 = self.p99(seconds)
            added = json.loads(adding.stdout.read())["answered"]
        return p99, added / (time.monotonic() - began)


def table(folder):
    """By name of peer, its figures for each count of routes; and with the most, p99 of requests, also while some come."""
    found = {}
    with blocks.backend(folder) as (target, _):
        for make in (peers.configurable_http_proxy, peers.specola_as_chp):
            with blocks.started(make, folder, target) as (peer, mark):
                routes, rows = Routes(peer, folder), []
                for count in ROUTES:
                    routes.grow(count)
                    rows.append((answers.small(peer, mark)["small request"], routes.change(), routes.read_all()))
                found[peer.name] = (rows, routes.p99(work.SECONDS), *routes.p99_while_added(work.SECONDS))
    return found
