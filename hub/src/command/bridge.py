#!/usr/bin/env python3
"""Lets Specola use a Spawner or an Authenticator that was written for JupyterHub.

    bridge.py spawner --config jupyterhub_config.py --state FOLDER [--class batchspawner:SlurmSpawner]
    bridge.py authenticator --config jupyterhub_config.py [--class ldapauthenticator:LDAPAuthenticator]

One call answers one question (docs/hooks.md): JSON on standard input, JSON on standard output. The class is the one
named, or c.JupyterHub.spawner_class or authenticator_class of the file. Needs a Python that has JupyterHub and the class.

A start goes on in a process of its own, so that neither the end of this one nor that of the hub disturbs it. What is
known of each server is a file in the state folder, which belongs to the bridge alone; no token is written there.
"""

import argparse
import asyncio
import fcntl
import json
import logging
import os
import pathlib
import random
import signal
import sys
import types
from urllib.parse import quote

from jupyterhub.utils import maybe_future
from tornado.web import HTTPError
from traitlets import Integer
from traitlets.config import Config, PyFileConfigLoader

try:
    from importlib.metadata import entry_points
except ImportError:
    entry_points = None

# A start that is to end may first learn what it has made, for so many seconds.
TO_LEARN = 5
# A start that was told to end has so many seconds until it is ended.
TO_END = 15


def load_class(name, group):
    """Finds a class by `module:Class`, `module.Class` or the short name it is registered under."""
    if entry_points and ":" not in name:
        found = [point for point in entry_points(group=group) if point.name.lower() == name.lower()]
        if found:
            return found[0].load()
    module, _, attribute = name.replace(":", ".").rpartition(".")
    return getattr(__import__(module, fromlist=[attribute]), attribute)


class Note:
    """What is known of one server, in a file. `.run` is locked as long as its start goes on."""

    def __init__(self, folder, server_id):
        self.key = "".join(c if c.isalnum() or c == "-" else "-" for c in server_id)
        self.folder = folder
        self.path = folder / f"{self.key}.json"
        self.log = folder / f"{self.key}.log"

    def read(self):
        try:
            return json.loads(self.path.read_text())
        except FileNotFoundError:
            return None

    def write(self, values):
        fresh = self.path.with_suffix(".new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(values, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self.path)

    def lock(self, kind, how=fcntl.LOCK_EX):
        """Locks a file beside the note; raises BlockingIOError when that would have to wait and may not."""
        handle = os.open(self.folder / f"{self.key}.{kind}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, how)
        except BlockingIOError:
            os.close(handle)
            raise
        return handle

    def is_starting(self):
        try:
            os.close(self.lock("run", fcntl.LOCK_SH | fcntl.LOCK_NB))
            return False
        except BlockingIOError:
            return True

    def remove(self):
        self.path.unlink(missing_ok=True)

    def forget(self):
        for kind in ("json", "log", "run", "lock"):
            (self.folder / f"{self.key}.{kind}").unlink(missing_ok=True)


class User:
    """What spawners use of JupyterHub's users."""

    def __init__(self, name, server, options):
        self.id, self.name, self.escaped_name = 0, name, quote(name, safe="@~")
        self.admin = bool(options.get("admin"))
        self.groups = [types.SimpleNamespace(name=group) for group in options.get("groups") or []]
        self.url = server.base_url
        self.settings, self.spawners, self.state = {}, {}, None

    async def get_auth_state(self):
        return None


def spawner_of(args, note, start=None):
    """Makes the spawner of a note; with what it is to be started with, when it is to be."""
    cls, server, options = args.cls, note["server"], note.get("options") or {}
    prefix = server.get("prefix") or "/"
    given = dict((start or {}).get("environment") or {})
    place = types.SimpleNamespace(proto="http", ip="", port=0, base_url=prefix, connect_ip="", connect_port=0)

    def get_env(self):
        env = cls.get_env(self)
        env.update(given)
        ip = self.ip or "127.0.0.1"
        host = f"[{ip}]" if ":" in ip else ip
        env["JUPYTERHUB_SERVICE_URL"] = f"http://{host}:{self.port}{prefix}"
        return env

    body = {
        "get_env": get_env,
        "server": property(lambda self: place, lambda self, value: None),
        "db": types.SimpleNamespace(commit=lambda: None, rollback=lambda: None),
    }
    if hasattr(cls, "batchspawner_singleuser_cmd"):
        # The job would tell the hub its port over an address that only JupyterHub has: the port is chosen here.
        body["port"] = Integer(random.randint(20000, 32000)).tag(config=True)
    base = given.get("JUPYTERHUB_BASE_URL", "/")
    hub = types.SimpleNamespace(
        api_url=given.get("JUPYTERHUB_API_URL", ""), public_host=given.get("JUPYTERHUB_HOST", ""), base_url=f"{base}hub/"
    )
    user = User(server["user"], place, options)
    row = types.SimpleNamespace(name=server["name"], display_name=server["name"], server=None, state=None, user=user)
    row.user_options = options.get("user_options") or {}
    spawner = type(f"Bridged{cls.__name__}", (cls,), body)(user=user, hub=hub, orm_spawner=row, config=args.config)
    user.spawners[server["name"]] = spawner
    for name in ("public_url", "public_hub_url"):
        if spawner.has_trait(name):
            setattr(spawner, name, given.get(f"JUPYTERHUB_{name.upper()}", ""))
    if hasattr(cls, "batchspawner_singleuser_cmd"):
        spawner.batchspawner_singleuser_cmd = ""
    spawner.user_options = row.user_options
    spawner.api_token = given.get("JUPYTERHUB_API_TOKEN", "")
    spawner.oauth_client_id = given.get("JUPYTERHUB_CLIENT_ID", "")
    configured = {name for parent in type(spawner).__mro__ for name in args.config.get(parent.__name__, {})}
    for name in ("cmd", "args", "mem_limit", "mem_guarantee", "cpu_limit", "cpu_guarantee"):
        # What the file says of the class counts before what the hub says of all servers.
        if (start or {}).get(name) and name not in configured:
            setattr(spawner, name, start[name])
    if note.get("state"):
        spawner.load_state(note["state"])
    return spawner


async def start_server(args, note, values, start):
    """Starts, in a process of its own, and writes down how it goes."""
    spawner = spawner_of(args, values, start)

    written = None

    def save(**changes):
        nonlocal written
        values.update(state=spawner.get_state(), **changes)
        text = json.dumps(values)
        if text != written:
            note.write(values)
            written = text

    async def follow_state():
        while True:
            save()
            await asyncio.sleep(0.1)

    async def follow_progress():
        async for event in spawner.progress():
            values.update(progress=int(event.get("progress") or 0), message=str(event.get("message") or ""))

    async def begin():
        await maybe_future(spawner.run_pre_spawn_hook())
        return await maybe_future(spawner.start())

    async def learn_and_cancel():
        for _ in range(TO_LEARN * 10):
            if spawner.get_state():
                break
            await asyncio.sleep(0.1)
        starting.cancel()

    starting = asyncio.ensure_future(begin())
    followers = [asyncio.ensure_future(follow_state()), asyncio.ensure_future(follow_progress())]
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: followers.append(asyncio.ensure_future(learn_and_cancel())))
    try:
        place = await starting
        for follower in followers:
            follower.cancel()
        save(phase="up", url=url_of(place, values["server"]["prefix"]))
    except BaseException as error:
        for follower in followers:
            follower.cancel()
        logging.exception("the start failed")
        reason = getattr(error, "jupyterhub_message", None) or f"The server could not be started: {error}"
        save(phase="failed", reason=str(reason))
        if spawner.get_state():
            await maybe_future(spawner.stop(now=True))


def url_of(place, prefix):
    if isinstance(place, str):
        return place.rstrip("/") + prefix if place.count("/") < 3 else place
    ip, port = place
    return f"http://[{ip}]:{port}{prefix}" if ":" in str(ip) else f"http://{ip}:{port}{prefix}"


def detach(args, note, values, start, run_lock, other_lock):
    """Lets the start go on in a process that belongs to nobody."""
    if os.fork():
        return
    os.setsid()
    os.close(other_lock)
    os.close(args.output)
    log = os.open(note.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((null, 0), (log, 1), (log, 2)):
        os.dup2(old, new)
    try:
        values["pid"] = os.getpid()
        note.write(values)
        asyncio.run(start_server(args, note, values, start))
    except BaseException:
        logging.exception("the start broke off")
    finally:
        os.close(run_lock)
        os._exit(0)


async def sight_of(args, note, generation, state):
    starting, values = note.is_starting(), note.read()
    if values is None:
        if not state:
            return {"sight": "absent"}
        # Left by JupyterHub: it may run, and nobody here knows where.
        spawner = spawner_of(args, {"server": args.server, "state": state})
        return {"sight": "up" if await maybe_future(spawner.poll()) is None else "absent"}
    if values["generation"] != generation:
        return {"sight": "absent"}
    known = {"state": values["state"], "progress": values.get("progress"), "message": values.get("message")}
    if starting:
        return {"sight": "coming", **known}
    if values["phase"] != "up":
        return {"sight": "exited", "reason": values.get("reason") or "The start broke off.", **known}
    code = await maybe_future(spawner_of(args, values).poll())
    if code is None:
        return {"sight": "up", "url": values["url"], **known}
    return {"sight": "exited", "code": code, "reason": f"The server ended with exit code {code}.", **known}


async def end(args, note, values, force):
    """Takes the step that is due on the way to the end; removes the note once there is nothing left."""
    if note.is_starting():
        if values.get("pid"):
            os.kill(values["pid"], signal.SIGKILL if force else signal.SIGTERM)
        for _ in range(TO_END * 10):
            if not note.is_starting():
                break
            await asyncio.sleep(0.1)
        else:
            return
        values = note.read() or values
    spawner = spawner_of(args, values)
    if await maybe_future(spawner.poll()) is None:
        await maybe_future(spawner.stop(now=force))
        if await maybe_future(spawner_of(args, values).poll()) is None:
            return
    await maybe_future(spawner.run_post_stop_hook())
    note.remove()


async def begin(args, question, note, lock):
    server, values = args.server, note.read()
    if values and values["generation"] < server["generation"]:
        await end(args, note, values, force=True)
        values = note.read()
        if values:
            raise RuntimeError("what an older start left has not ended yet")
    if values is None:
        start = question["start"]
        run_lock = note.lock("run", fcntl.LOCK_EX | fcntl.LOCK_NB)
        values = {
            "server": server,
            "generation": server["generation"],
            "options": start.get("options"),
            "phase": "starting",
            "state": {},
        }
        note.write(values)
        return lambda: detach(args, note, values, start, run_lock, lock)
    return None


async def answer_spawner(args, question):
    call = question["call"]
    if call == "list":
        notes = [json.loads(path.read_text()) for path in args.state.glob("*.json")]
        fields = ("id", "user", "name", "generation")
        return {"servers": [{**{f: note["server"][f] for f in fields}, "state": note["state"]} for note in notes]}, None
    args.server = server = question["server"]
    note, state = Note(args.state, server["id"]), question.get("state")
    if call == "look":
        return await sight_of(args, note, server["generation"], state), None
    if call == "logs":
        text = note.log.read_text(errors="replace") if note.log.exists() else ""
        return {"log": "\n".join(text.splitlines()[-int(question["lines"]) :])[-100_000:]}, None
    lock = note.lock("lock")
    if call == "start":
        return {"sight": "coming", "state": {}}, await begin(args, question, note, lock)
    values = note.read()
    if call == "stop":
        if values is None and state:
            values = {"server": server, "generation": server["generation"], "state": state}
        if values and values["generation"] == server["generation"]:
            await end(args, note, values, bool(question.get("force")))
        return {}, None
    if call == "forget":
        spawner = spawner_of(args, {"server": server, "state": state})
        await maybe_future(spawner.delete_forever())
        note.forget()
        return {}, None
    raise ValueError(f"no answer is known to {call!r}")


async def answer_authenticator(args, question):
    authenticator = args.cls(config=args.config)
    request = types.SimpleNamespace(remote_ip=question.get("address"), headers={}, method="POST")
    data = {"username": question["username"], "password": question["password"]}
    handler = types.SimpleNamespace(
        request=request, log=logging.getLogger(), get_argument=lambda name, default=None: data.get(name, default)
    )
    try:
        model = await authenticator.get_authenticated_user(handler, data)
    except HTTPError as error:
        if error.status_code not in (401, 403):
            raise
        return {"refuse": error.log_message or True}, None
    if model is None:
        return {"refuse": True}, None
    answer = {"name": model["name"], "admin": model.get("admin"), "auth_state": model.get("auth_state")}
    if authenticator.manage_groups:
        answer["groups"] = model.get("groups")
    elif args.groups_from:
        answer["groups"] = list((model.get("auth_state") or {}).get(args.groups_from) or [])
    if getattr(authenticator, "manage_roles", False):
        answer["roles"] = model.get("roles")
    return answer, None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["spawner", "authenticator"])
    parser.add_argument("--config", metavar="FILE", help="a jupyterhub_config.py with the options of the class")
    parser.add_argument("--class", dest="cls", metavar="MODULE:CLASS")
    parser.add_argument("--state", metavar="FOLDER", type=pathlib.Path, help="where a spawner keeps its notes")
    parser.add_argument("--groups-from", metavar="FIELD", help="the field of auth_state that lists a person's groups")
    args = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Whatever the class prints is no answer.
    args.output = os.dup(1)
    os.dup2(2, 1)
    file = pathlib.Path(args.config).absolute() if args.config else None
    args.config = PyFileConfigLoader(file.name, path=str(file.parent)).load_config() if file else Config()
    named = args.cls or args.config.get("JupyterHub", {}).get(f"{args.kind}_class")
    if not named:
        parser.error(f"name a class by --class, or c.JupyterHub.{args.kind}_class in the file of --config")
    args.cls = load_class(named, f"jupyterhub.{args.kind}s") if isinstance(named, str) else named
    if args.kind == "spawner":
        if args.state is None:
            parser.error("a spawner needs a folder for its notes: --state")
        args.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    question = json.load(sys.stdin)
    if question.get("specola") != 1:
        raise ValueError("the question is of another version than this bridge: write the bridge anew")
    reply = answer_spawner if args.kind == "spawner" else answer_authenticator
    answer, afterwards = asyncio.run(reply(args, question))
    if afterwards:
        afterwards()
    os.write(args.output, json.dumps(answer).encode())


if __name__ == "__main__":
    main()
