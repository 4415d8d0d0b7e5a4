"""The two hubs, on copies of one database with 1000 people in groups."""

import contextlib
import json
import os
import shutil
import sys
import time

from . import machine

TOKEN = "0123456789abcdef0123456789abcdef"
HEADERS = {"Authorization": f"token {TOKEN}"}
PAGE = {**HEADERS, "Accept": "application/jupyterhub-pagination+json"}
PEOPLE, GROUPS = 1000, 20


def make_database(path):
    """Fills a database by JupyterHub's own means; every person is in two groups."""
    from jupyterhub import orm, roles

    url = f"sqlite:///{path}"
    session = orm.new_session_factory(url)()
    for role in roles.get_default_roles():
        roles.create_role(session, role)
    groups = [orm.Group(name=f"group-{number:02}") for number in range(GROUPS)]
    session.add_all(groups)
    admin = orm.User(name="admin", admin=True)
    session.add(admin)
    for number in range(PEOPLE):
        user = orm.User(name=f"person-{number:04}")
        session.add(user)
        user.groups = [groups[number % GROUPS], groups[(number * 7 + 1) % GROUPS]]
    session.commit()
    for user in session.query(orm.User):
        roles.assign_default_roles(session, entity=user)
    session.add(orm.OAuthClient(identifier="jupyterhub"))
    session.commit()
    orm.APIToken.new(token=TOKEN, user=admin, note="measurement", generated=True, scopes=["inherit"])
    session.commit()
    session.close()


class JupyterHub:
    name = "JupyterHub"

    def __init__(self, folder, database):
        self.folder, self.port, self.hub_port = folder, machine.free_port(), machine.free_port()
        shutil.copy(database, os.path.join(folder, "jupyterhub.sqlite"))
        lines = [
            "c = get_config()",
            f"c.JupyterHub.bind_url = 'http://127.0.0.1:{self.port}'",
            f"c.JupyterHub.hub_port = {self.hub_port}",
            "c.JupyterHub.db_url = 'sqlite:///jupyterhub.sqlite'",
            "c.JupyterHub.log_level = 'WARN'",
            f"c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{machine.free_port()}'",
            f"c.ConfigurableHTTPProxy.command = [{os.environ['SPECOLA_CHP']!r}]",
            "c.JupyterHub.authenticator_class = 'dummy'",
            "c.Authenticator.allow_all = True",
            "c.Authenticator.admin_users = {'admin'}",
        ]
        with open(os.path.join(folder, "jupyterhub_config.py"), "w") as file:
            file.write("\n".join(lines))
        self.command = [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"]

    def is_proxy(self, command):
        return "configurable-http-proxy" in command


class Specola:
    name = "Specola"

    def __init__(self, folder, database):
        self.folder, self.port, self.hub_port = folder, machine.free_port(), machine.free_port()
        shutil.copy(database, os.path.join(folder, "jupyterhub.sqlite"))
        lines = [
            "[hub]",
            f'bind_url = "http://127.0.0.1:{self.port}"',
            f"hub_port = {self.hub_port}",
            f'data_dir = "{folder}"',
            "[auth]",
            'authenticator = "demo"',
            'admin_users = ["admin"]',
            "[spawner.local]",
            'mode = "folders"',
            "allow_root = true",
            "[log]",
            'level = "warn"',
        ]
        with open(os.path.join(folder, "specola.toml"), "w") as file:
            file.write("\n".join(lines))
        self.command = [os.environ["SPECOLA_BIN"], "serve", "--config", "specola.toml"]

    def is_proxy(self, command):
        return command.split("\0")[1:2] == ["proxy"]


@contextlib.contextmanager
def started(hub):
    """Starts a hub. Gives its mark and the seconds until its first answer through its proxy."""
    with machine.running(hub.command, hub.folder) as mark:
        yield mark, machine.wait_for(f"http://127.0.0.1:{hub.port}/hub/api")


def check(hub):
    """What is measured has to be the same answer from both."""
    api = f"http://127.0.0.1:{hub.hub_port}/hub/api"
    user = json.loads(machine.get(f"{api}/users/person-0500", HEADERS))
    page = json.loads(machine.get(f"{api}/users?limit=200", PAGE))
    assert (user["name"], len(user["groups"])) == ("person-0500", 2), user
    assert (len(page["items"]), page["_pagination"]["total"]) == (200, PEOPLE + 1), page["_pagination"]
    return sorted(user), sorted(page["items"][0])


def measure_start(hub, rounds):
    """Seconds from the start of the process to the first answer."""
    seconds = []
    for _ in range(rounds):
        with started(hub) as (_, took):
            seconds.append(took)
    return seconds


def measure(hub, mark, seconds):
    """One round of a running hub, asked directly, without its proxy."""
    api = f"http://127.0.0.1:{hub.hub_port}/hub/api"
    return {
        "user": machine.hammer(f"{api}/users/person-0500", HEADERS, seconds),
        "page": machine.hammer(f"{api}/users?limit=200", PAGE, seconds),
    }


def measure_memory(hub, mark):
    """MB of hub and proxy a few seconds after the first answer, before any load."""
    time.sleep(3)
    proxies, others = [], []
    for process in machine.marked(mark):
        with open(f"/proc/{process}/cmdline") as file:
            (proxies if hub.is_proxy(file.read()) else others).append(process)
    return machine.memory(others), machine.memory(proxies)

