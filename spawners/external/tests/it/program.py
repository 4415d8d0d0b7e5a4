"""Keeps servers as processes of this machine, for tests: asked by specola's protocol, its notes in the folder named."""

import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys

folder = pathlib.Path(sys.argv[1])


def notes():
    return [json.loads(path.read_text()) for path in folder.glob("*.json")]


def path_of(server):
    return folder / (server["id"].replace(":", "-") + ".json")


def runs(note):
    try:
        stat = pathlib.Path(f"/proc/{note['pid']}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def end(note):
    try:
        os.kill(note["pid"], signal.SIGKILL)
    except ProcessLookupError:
        pass
    path_of(note).unlink(missing_ok=True)


def find(server):
    path = path_of(server)
    note = json.loads(path.read_text()) if path.exists() else None
    return note if note and note["generation"] == server["generation"] else None


def look(server):
    note = find(server)
    if note is None:
        return {"sight": "absent"}
    if not runs(note):
        return {"sight": "exited", "reason": "It ended."}
    return {"sight": "up", "url": note["url"], "state": {"pid": note["pid"]}}


def start(question):
    server = question["server"]
    path = path_of(server)
    if path.exists() and find(server) is None:
        end(json.loads(path.read_text()))
    if find(server) is None:
        quiet = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
        pid = subprocess.Popen(["sleep", "600"], start_new_session=True, **quiet).pid
        url = f"http://127.0.0.1:{10000 + pid % 50000}{server['prefix']}"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({**server, "pid": pid, "url": url}))
        fresh.rename(path)
    return look(server)


def stop(server):
    note = find(server)
    if note:
        end(note)
    return {}


def listing():
    servers = notes()
    return {"servers": [{name: note[name] for name in ("id", "generation", "user", "name")} for note in servers]}


question = json.load(sys.stdin)
with (folder / "lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    answer = {
        "start": lambda: start(question),
        "look": lambda: look(question["server"]),
        "stop": lambda: stop(question["server"]),
        "forget": lambda: {},
        "list": listing,
        "logs": lambda: {},
    }[question["call"]]()
print(json.dumps(answer))
