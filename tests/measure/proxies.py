"""Proxies with one route to a small answer: processor time for each request at a fixed rate."""

import json
import os

from . import machine

TOKEN = "a-token-for-measuring"
RATE, CONNECTIONS = 3000, 8


def haproxy(folder, port, lines):
    """The command of a haproxy that has this in its one proxy section."""
    text = ["global", "  nbthread 1", "defaults", "  mode http", "  timeout client 30s", "  timeout server 30s",
            "  timeout connect 5s", "  option http-keep-alive", "listen here", f"  bind 127.0.0.1:{port}", *lines]
    path = os.path.join(folder, f"haproxy-{port}.cfg")
    with open(path, "w") as file:
        file.write("\n".join(text) + "\n")
    return ["haproxy", "-db", "-f", path]


def backend(folder, port):
    """A server that says `ok` at next to no cost; on the processor of the load."""
    return haproxy(folder, port, ['  http-request return status 200 content-type "text/plain" string "ok"'])


def specola(folder, port, target):
    """The command of a proxy that finds its route in the snapshot which it keeps for times without a hub."""
    files = {name: os.path.join(folder, f"{name}-{port}") for name in ("token", "routes")}
    routes = [{"prefix": "/user/alice/", "target": f"http://127.0.0.1:{target}"}]
    with open(files["routes"], "w") as file:
        file.write(json.dumps({"type": "snapshot", "epoch": "measurement", "revision": 1, "routes": routes}) + "\n")
    with open(files["token"], "w") as file:
        file.write(TOKEN)
    os.chmod(files["token"], 0o600)
    return [os.environ["SPECOLA_BIN"], "proxy", "--listen", f"127.0.0.1:{port}", "--token-file", files["token"],
            "--snapshot", files["routes"]]


def proxies(folder, target):
    """Name, command, port, and the port of the REST API to add the route by, if it takes its route so."""
    ports = [machine.free_port() for _ in range(4)]
    yield ("configurable-http-proxy", ports[0], ports[1],
           [os.environ["SPECOLA_CHP"], "--ip", "127.0.0.1", "--port", str(ports[0]), "--api-ip", "127.0.0.1",
            "--api-port", str(ports[1]), "--log-level", "warn"])
    yield "Specola", ports[2], None, specola(folder, ports[2], target)
    yield ("haproxy", ports[3], None,
           haproxy(folder, ports[3], ["  http-reuse always", f"  server lab 127.0.0.1:{target}"]))


def measure(folder, rounds, seconds):
    """Microseconds of processor time a request, by proxy, one value a round; the proxies take turns."""
    target = machine.free_port()
    found = {}
    with machine.running(backend(folder, target), folder, processor=machine.CLIENT):
        machine.wait_for(f"http://127.0.0.1:{target}/")
        for _ in range(rounds):
            for name, port, api, command in proxies(folder, target):
                with machine.running(command, folder, {"CONFIGPROXY_AUTH_TOKEN": TOKEN}) as mark:
                    found.setdefault(name, []).append(one(mark, port, api, target, seconds))
    return found


def one(mark, port, api, target, seconds):
    if api:
        headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
        machine.wait_for(f"http://127.0.0.1:{api}/api/routes", headers)
        body = json.dumps({"target": f"http://127.0.0.1:{target}"}).encode()
        machine.get(f"http://127.0.0.1:{api}/api/routes/user/alice", headers, "POST", body)
    url = f"http://127.0.0.1:{port}/user/alice/api"
    machine.wait_for(url)
    machine.steady(url, RATE, CONNECTIONS, 1)
    processes = list(machine.marked(mark))
    before = machine.processor_time(processes)
    answered = machine.steady(url, RATE, CONNECTIONS, seconds)["answered"]
    spent = machine.processor_time(processes) - before
    if answered < 0.9 * RATE * seconds:
        raise RuntimeError(f"only {answered} of {RATE * seconds} requests were answered")
    return spent / answered * 1e6
