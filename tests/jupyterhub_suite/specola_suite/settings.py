"""What the tests change in JupyterHub's settings, as options of Specola."""

import os
import sys

from jupyterhub import orm, scopes
from jupyterhub.crypto import CryptKeeper
from jupyterhub.roles import get_default_roles
from jupyterhub.tests import mocking

# Options of the same name and meaning.
SAME = [
    "active_server_limit",
    "allow_invalid_named_server_start",
    "allow_named_servers",
    "api_page_default_limit",
    "api_page_max_limit",
    "concurrent_spawn_limit",
    "default_url",
    "implicit_spawn_seconds",
    "named_server_limit_per_user",
    "redirect_to_server",
    "shutdown_on_logout",
    "slow_spawn_timeout",
    "slow_stop_timeout",
    "spawn_throttle_retry_range",
    "token_expires_in_max_seconds",
]

BUILT_IN_SCOPES = set(scopes.scope_definitions)
DEFAULT_ROLES = {role["name"]: sorted(role["scopes"]) for role in get_default_roles()}


def options_of(app):
    """The options that the settings of the moment stand for; those of the section `environment` are variables."""
    found = {}
    for name in SAME:
        value = app.tornado_settings.get(name, getattr(app, name, None))
        if isinstance(value, (bool, int, float, str, list, tuple)) and value != "":
            found["hub", name] = value
    authenticator = app.tornado_settings["authenticator"]
    if authenticator.enable_auth_state:
        found["auth", "enable_auth_state"] = True
        found["environment", "JUPYTERHUB_CRYPT_KEY"] = ";".join(key.hex() for key in CryptKeeper.instance().keys)
    if authenticator.username_pattern:
        found["auth", "username_pattern"] = authenticator.username_pattern
    if authenticator.username_map:
        found["auth", "username_map"] = dict(authenticator.username_map)
    found["hub", "default_server_name"] = app.default_server_name
    found["hub", "oauth_require_pkce"] = bool(app.oauth_provider.request_validator.require_pkce)
    command, more = command_of(app.tornado_settings["spawner_class"])
    found["spawner", "cmd"] = command
    found.update(more)
    custom = {
        name: {"description": it["description"], "subscopes": list(it.get("subscopes", []))}
        for name, it in scopes.scope_definitions.items()
        if name not in BUILT_IN_SCOPES
    }
    if custom:
        found["hub", "custom_scopes"] = custom
    return found


def roles_of(app):
    """The roles in the database as configuration: a hub that starts deletes those it is not told of."""
    found = []
    for role in app.db.query(orm.Role).filter_by(managed_by_auth=False):
        default = DEFAULT_ROLES.get(role.name)
        if default == sorted(role.scopes):
            continue
        spec = {"name": role.name, "scopes": [one for one in role.scopes if one.split("!")[0] in scopes.scope_definitions]}
        for kind in ("groups", "services") if default else ("users", "groups", "services"):
            spec[kind] = [one.name for one in getattr(role, kind)]
        found.append(spec)
    return {("hub", "load_roles"): found}


def command_of(spawner_class):
    """The command that behaves as the mock spawner, and further options."""
    serve = [sys.executable, "-m", "jupyterhub.tests.mocksu"]

    def shell(script):
        return ["/bin/sh", "-c", script, "sh", *serve]

    if issubclass(spawner_class, mocking.NeverSpawner):
        return shell("sleep 600"), {("spawner", "start_timeout"): 1, ("spawner", "http_timeout"): 1}
    if issubclass(spawner_class, mocking.SlowBadSpawner):
        return shell("sleep 0.5; exit 1"), {}
    if issubclass(spawner_class, (mocking.BadSpawner, mocking.CustomBadSpawner)):
        return shell("exit 1"), {}
    if issubclass(spawner_class, mocking.SlowSpawner):
        # Stops as slowly as it starts.
        return shell('trap "sleep 2; kill $!; exit" INT TERM; sleep 2; "$@" & wait $!; wait $!'), {}
    if issubclass(spawner_class, mocking.InstrumentedSpawner):
        # A real single-user server, where there is one.
        python = os.environ.get("SPECOLA_JUPYTERHUB_PYTHON", sys.executable)
        return [python, "-m", "jupyterhub.singleuser", *(["--allow-root"] if os.getuid() == 0 else [])], {}
    return serve, {}
