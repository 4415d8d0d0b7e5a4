# As The Littlest JupyterHub and small teaching hubs write it.
import os
import sys

from systemdspawner import SystemdSpawner
from tljh import configurer, user, hooks
from tljh.config import INSTALL_PREFIX, USER_ENV_PREFIX, CONFIG_DIR

c = get_config()  # noqa


class UserCreatingSpawner(SystemdSpawner):
    def start(self):
        user.ensure_user(self.user.name)
        return super().start()


c.JupyterHub.spawner_class = UserCreatingSpawner
c.JupyterHub.cleanup_servers = False
c.JupyterHub.hub_port = 15001
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:15002"
c.Authenticator.admin_users = {"rector"}
c.Authenticator.allowed_users |= {"ann", "bob"}
c.JupyterHub.authenticator_class = "pam"
c.JupyterHub.services += [
    {
        "name": "jupyterhub-idle-culler",
        "admin": True,
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=3600"],
    }
]
c.Spawner.mem_limit = "2G"
c.Spawner.cpu_limit = 1.5
c.Spawner.environment["PATH"] = os.path.join("/opt/env/bin") + ":/usr/bin"
c.JupyterHub.load_groups = {"staff": ["ann"], "guests": {"users": ["bob"], "properties": {"room": 7}}}
for extra in ["shares!user"]:
    c.JupyterHub.extra_user_scopes.append(extra)
c.JupyterHub.api_tokens = {"a-token-of-the-rector": "rector"}
c.JupyterHub.trust_user_provided_tokens = True
