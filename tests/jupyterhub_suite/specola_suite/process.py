"""Specola as a process: configured, started, started anew with another configuration, and ended with all it started."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

PATIENCE = 30
MARK = "SPECOLA_TEST"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def toml(value):
    """A value of a configuration file. JSON is TOML but for tables and null."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


class Specola:
    """One hub in a folder of its own."""

    def __init__(self, folder, base_url):
        self.folder = Path(folder)
        self.base_url = base_url
        self.port, self.hub_port = free_port(), free_port()
        # The one this process has, so that whoever started it finds everything.
        self.mark = os.environ.get(MARK) or uuid.uuid4().hex
        self.hub = None
        self.options = None

    @property
    def database(self):
        return f"sqlite:///{self.folder / 'jupyterhub.sqlite'}"

    @property
    def public_url(self):
        return f"http://127.0.0.1:{self.port}{self.base_url}"

    def configure(self, options, more=dict):
        """Starts the hub with these options, or anew when they are others than those it runs with.

        What `more` returns is only asked for then.
        """
        if options == self.options and self.hub is not None and self.hub.poll() is None:
            return
        self.end_hub()
        self.options = options
        variables = {name: value for (section, name), value in options.items() if section == "environment"}
        (self.folder / "specola.toml").write_text(self.text({**options, **more()}))
        log = open(self.folder / "specola.log", "ab")
        self.hub = subprocess.Popen(
            [os.environ["SPECOLA_BIN"], "serve", "--config", self.folder / "specola.toml"],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, MARK: self.mark, **variables},
        )
        self.await_answer()

    def text(self, options):
        own = {
            ("hub", "bind_url"): f"http://127.0.0.1:{self.port}{self.base_url}",
            ("hub", "hub_port"): self.hub_port,
            ("hub", "data_dir"): str(self.folder),
            ("hub", "db_url"): self.database,
            ("auth", "authenticator"): "demo",
            ("auth", "allow_all"): True,
            ("auth", "admin_users"): ["admin"],
            ("spawner.local", "mode"): "folders",
            ("spawner.local", "allow_root"): True,
            ("spawner.environment", MARK): self.mark,
            ("log", "level"): "info,specola=debug",
        }
        sections = {}
        for (section, key), value in {**own, **options}.items():
            if section == "environment":
                continue
            sections.setdefault(section, []).append(f"{json.dumps(key)} = {toml(value)}")
        return "\n".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())

    def await_answer(self):
        """Waits until the hub itself answers, through the proxy."""
        deadline = time.monotonic() + PATIENCE
        while True:
            if self.hub.poll() is not None:
                raise RuntimeError(f"the hub has ended:\n{self.log()}")
            try:
                # The proxy lives on when the hub is started anew, so the hub's own port is asked too.
                for port in (self.hub_port, self.port):
                    url = f"http://127.0.0.1:{port}{self.base_url}hub/api"
                    urllib.request.urlopen(url, timeout=5).read()
                return
            except (OSError, urllib.error.URLError):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"no answer within {PATIENCE} s:\n{self.log()}") from None
                time.sleep(0.02)

    def log(self):
        return (self.folder / "specola.log").read_text(errors="replace")[-20_000:]

    def end_hub(self):
        """As a crash would: the next one takes over at once, and what runs goes on."""
        if self.hub is not None:
            self.hub.kill()
            self.hub.wait()
            self.hub = None

    def end(self):
        """Ends the hub, its proxy and the servers it left running."""
        self.end_hub()
        deadline = time.monotonic() + PATIENCE
        while (left := list(self.processes())) and time.monotonic() < deadline:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)

    def processes(self):
        mark = f"{MARK}={self.mark}".encode()
        for path in Path("/proc").iterdir():
            if path.name.isdigit() and int(path.name) != os.getpid():
                try:
                    if mark in (path / "environ").read_bytes().split(b"\0"):
                        yield int(path.name)
                except OSError:
                    pass
