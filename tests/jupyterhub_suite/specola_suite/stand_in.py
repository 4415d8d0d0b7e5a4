"""The application object the tests get: JupyterHub's own, on Specola's database, with Specola behind its addresses."""

import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path
from unittest import mock
from urllib.parse import quote

import requests
from jupyterhub import orm
from jupyterhub.spawner import Spawner
from jupyterhub.tests import mocking, utils
from jupyterhub.user import User, UserDict
from sqlalchemy import inspect, text
from tornado.httputil import url_concat

from . import settings
from .process import Specola

PATIENCE = 30
BASE_URL = "/@/space%20word/"
ROUTE = (
    "UPDATE specola_counters SET value = value + 1 WHERE name = 'routes'",
    """INSERT OR REPLACE INTO specola_routes (prefix, target, data, revision, deleted)
       SELECT :prefix, :target, '{}', value, 0 FROM specola_counters WHERE name = 'routes'""",
)
ROUTED = """SELECT MIN(p.revision) >= c.value FROM specola_proxies p, specola_counters c WHERE c.name = 'routes'"""
# What no test leaves to the next, by table.
LEFT = {
    "users": "name NOT IN ('admin', 'user')",
    "groups": "1 = 1",
    "roles": "name NOT IN ('user', 'admin', 'server', 'token')",
    "services": "1 = 1",
    "oauth_clients": "identifier <> 'jupyterhub'",
    "shares": "1 = 1",
    "share_codes": "1 = 1",
    "servers": "id NOT IN (SELECT server_id FROM spawners WHERE server_id IS NOT NULL)",
}


class StandIn(mocking.MockHub):
    """Configured and filled as JupyterHub's; started, it is Specola that answers."""

    # Specola makes the database, with the roles every hub has.
    test_clean_db = False
    specola = None
    # How many requests a test has sent.
    asked = 0

    async def initialize(self, argv=None):
        self._folder = tempfile.TemporaryDirectory(prefix="specola-suite-")
        self.specola = Specola(self._folder.name, BASE_URL)
        self.specola.configure({})
        self.bind_url = self.specola.public_url
        self.hub_port = self.specola.hub_port
        with mock.patch.dict("os.environ", {"JUPYTERHUB_TEST_DB_URL": self.specola.database}):
            await super().initialize([])
        # Its own proxy has the routes without being told.
        self.proxy.api_request = no_proxy_api
        for name in ("add_user", "delete_user", "add_all_users", "delete_service"):
            setattr(self.proxy, name, nothing_to_do)
        self.proxy.add_all_services, self.proxy.add_service = self.add_services, self.add_service
        self.proxy.get_all_routes = self.routes
        StandIn.alive.append(self)

    async def start(self):
        """Specola has started already."""

    async def stop(self):
        if self in StandIn.alive:
            StandIn.alive.remove(self)
        self.db.close()
        self.specola.end()
        self.db_file.close()
        self._folder.cleanup()

    @classmethod
    def initialized(cls):
        """Not told to the clean-up of the tests, which knows only of servers that run in this process."""
        return False

    def clean_up(self):
        """Ends and deletes what a test left: servers, people, groups, services, shares."""
        self.db.rollback()
        self.users.clear()
        running = """SELECT u.name, s.name FROM specola_servers w JOIN spawners s ON s.id = w.spawner_id
                     JOIN users u ON u.id = s.user_id WHERE w.phase <> 'stopped' OR w.desired <> 'stopped'"""
        found = self.db.execute(text(running)).all()
        allowed = {"allow_named_servers": True} if any(server_name for _, server_name in found) else {}
        with mock.patch.dict(self.tornado_settings, allowed):
            for user_name, server_name in found:
                self.rest("DELETE", server_path(user_name, server_name))
        deadline = time.monotonic() + PATIENCE
        while self.db.execute(text(running)).first() and time.monotonic() < deadline:
            time.sleep(0.02)
        for table, condition in LEFT.items():
            self.db.execute(text(f"DELETE FROM {table} WHERE {condition}"))
        self.db.commit()
        self.db.expunge_all()
        self._service_map.clear()

    async def add_services(self, services):
        for service in services.values():
            if service.server:
                await self.add_service(service)

    async def add_service(self, service):
        """Services are started by the tests; what leads to them is Specola's."""
        self.db.commit()
        for sql in ROUTE:
            values = {"prefix": service.proxy_spec, "target": service.server.host}
            self.db.execute(text(sql), values if ":prefix" in sql else {})
        self.db.commit()
        deadline = time.monotonic() + PATIENCE
        while not self.db.execute(text(ROUTED)).scalar():
            if time.monotonic() > deadline:
                raise TimeoutError(f"no route to {service.name}")
            await asyncio.sleep(0.02)

    async def routes(self):
        return self.rest("GET", "proxy").json()

    def before_request(self):
        """What the test changed in its session, and in the settings, counts from now on."""
        self.asked += 1
        trusted = self.tornado_settings.get("oauth_no_confirm_list", set())
        for service in self.db.query(orm.Service).filter(orm.Service.oauth_client_id.is_not(None)):
            if bool(service.oauth_no_confirm) != (service.oauth_client_id in trusted):
                service.oauth_no_confirm = service.oauth_client_id in trusted
        self.db.commit()
        kept = []
        self.specola.configure(settings.options_of(self), lambda: self.at_start(kept))
        for service in kept:
            service.from_config = True
        self.db.commit()

    def at_start(self, kept):
        """More options for a hub that starts. It deletes services of the configuration that are not in its own."""
        for service in self.db.query(orm.Service).filter_by(from_config=True):
            service.from_config = False
            kept.append(service)
        self.db.commit()
        return settings.roles_of(self)

    def after_request(self):
        """What Specola wrote is read anew."""
        self.db.expire_all()
        for user in self.users.values():
            if inspect(user.orm_user).persistent and user.orm_user in self.db:
                for name in set(user.spawners) - set(user.orm_spawners):
                    user.spawners.pop(name)
                for name, spawner in user.spawners.items():
                    spawner.orm_spawner = user.orm_spawners[name]
                    spawner.user_options = spawner.orm_spawner.user_options or {}

    def what_the_hub_said(self):
        """The end of Specola's log, for tests that fail."""
        return self.specola.log() if self.specola else ""

    def rest(self, method, path, **kwargs):
        """Asks Specola's API as an administrator, for what the tests do by methods of Python objects."""
        self.before_request()
        headers = utils.auth_header(self.db, "admin")
        url = f"http://127.0.0.1:{self.specola.hub_port}{BASE_URL}hub/api/{path}"
        try:
            return requests.request(method, url, headers=headers, timeout=PATIENCE, **kwargs)
        finally:
            self.after_request()


# Those that run, and the one the test of the moment is about.
StandIn.alive, StandIn.current = [], None


async def nothing_to_do(*args, **kwargs):
    """What JupyterHub tells its proxy, and Specola has told its own."""


async def no_proxy_api(*args, **kwargs):
    raise RuntimeError("the proxy is Specola's own and has no API")


def install():
    """Puts the stand-in in the place of JupyterHub's mock, and Specola behind its objects."""
    mocking.MockHub = StandIn
    submit = utils.async_requests.executor.submit

    def submit_to_specola(*args, **kwargs):
        app = StandIn.current
        if app is None or app.specola is None:
            return submit(*args, **kwargs)
        app.before_request()

        async def run(future):
            try:
                return await future
            finally:
                app.after_request()

        return asyncio.ensure_future(run(submit(*args, **kwargs)))

    utils.async_requests.executor.submit = submit_to_specola
    Spawner.pending = property(pending)
    Spawner.ready = property(lambda spawner: phase(spawner) == ("ready", "running"))
    Spawner._spawn_pending = property(lambda spawner: pending(spawner) == "spawn")
    Spawner._stop_pending = property(lambda spawner: pending(spawner) == "stop")
    Spawner._spawn_future = property(lambda spawner: settled(spawner.user, spawner.name))
    User.spawn, User.stop = spawn, stop
    UserDict.count_active_users = count_active_users


def phase(spawner):
    """What is true of a server and what is wanted, from Specola's own table."""
    sql = "SELECT phase, desired FROM specola_servers WHERE spawner_id = :id"
    orm_spawner = spawner.orm_spawner
    app = StandIn.current
    if orm_spawner is None or app is None:
        return "stopped", "stopped"
    row = app.db.execute(text(sql), {"id": orm_spawner.id}).first()
    return tuple(row) if row else ("stopped", "stopped")


def pending(spawner):
    match phase(spawner):
        case ("stopped", "stopped") | ("ready", "running"):
            return None
        case ("stopping", _) | (_, "stopped"):
            return "stop"
        case _:
            return "spawn"


def token_of(spawner):
    """The token a running server was started with: Specola keeps its hash only."""
    pid = (spawner.orm_spawner.state or {}).get("pid")
    if pid is None:
        return ""
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(variable.split("=", 1) for variable in variables if "=" in variable)["JUPYTERHUB_API_TOKEN"]


def count_active_users(users):
    counts = Counter()
    for state in users.db.execute(text("SELECT phase, desired FROM specola_servers")):
        if tuple(state) == ("ready", "running"):
            counts.update(active=1, ready=1)
        elif tuple(state) != ("stopped", "stopped"):
            counts.update(active=1, pending=1, spawn_pending=int(state[1] == "running"))
    return counts


def server_path(user_name, server_name):
    return f"users/{quote(user_name, safe='@~')}/" + (f"servers/{quote(server_name)}" if server_name else "server")


async def spawn(user, server_name="", options=None, handler=None):
    app = StandIn.current
    body = {"user_options": options} if options else None
    answer = app.rest("POST", server_path(user.name, server_name), json=body)
    answer.raise_for_status()
    await settled(user, server_name)
    spawner = user.spawners[server_name]
    spawner.api_token = token_of(spawner)


async def stop(user, server_name=""):
    app = StandIn.current
    answer = app.rest("DELETE", server_path(user.name, server_name))
    if answer.status_code not in (204, 202, 404):
        answer.raise_for_status()
    await settled(user, server_name)


async def settled(user, server_name):
    deadline = time.monotonic() + PATIENCE
    while user.spawners[server_name].pending:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{user.name}/{server_name} is still pending")
        await asyncio.sleep(0.02)
    StandIn.current.db.expire_all()
