"""A lab that is up at once: answers every request under its prefix with what the hub gave it, and `write` there with what it
may and what notes it has in its home. Plain HTTP, no login."""

import json
import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])


def read(*paths):
    for path in paths:
        try:
            with open(path) as file:
                return file.read().strip()
        except OSError:
            pass
    return None


def write():
    notes = os.path.expanduser("~/notes")
    with open(notes, "a") as file:
        file.write("x")
    status = dict(line.split(":", 1) for line in read("/proc/self/status").splitlines())
    memory = read("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    return {"notes": read(notes), "memory": memory, "capabilities": status["CapBnd"].strip(),
            "no_new_privileges": status["NoNewPrivs"].strip()}


class Lab(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        said = {"path": self.path, "user": os.environ["JUPYTERHUB_USER"], "pid": os.getpid(), "uid": os.getuid(),
                "server": os.environ["JUPYTERHUB_SERVER_NAME"], "home": os.environ.get("HOME"),
                "host": socket.gethostname(), "version": "0"}
        if self.path.endswith("/write"):
            said |= write()
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, text, *values):
        print(text % values, flush=True)


for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: sys.exit(0))
server = ThreadingHTTPServer((address.hostname, address.port), Lab)
server.daemon_threads = True
server.serve_forever()
