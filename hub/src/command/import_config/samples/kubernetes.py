# As the Helm chart Zero to JupyterHub writes it, shortened.
import os
from jupyterhub.utils import url_path_join
from kubernetes_asyncio import client
from oauthenticator.generic import GenericOAuthenticator
from z2jh import get_config as of_chart, set_config_if_not_none

c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.ConfigurableHTTPProxy.api_url = f"http://{os.environ.get('PROXY_API_HOST', 'proxy-api')}:8001"
c.JupyterHub.base_url = "/jupyter/"
c.JupyterHub.db_url = "postgresql://hub@db/jupyterhub"
c.JupyterHub.hub_bind_url = "http://:8081"
c.JupyterHub.hub_connect_url = "http://hub:8081"
c.JupyterHub.concurrent_spawn_limit = 64
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = 2
c.JupyterHub.authenticator_class = GenericOAuthenticator
c.GenericOAuthenticator.client_secret = "never-shown-on-a-terminal"
c.KubeSpawner.image = "quay.io/jupyter/base-notebook:latest"
c.KubeSpawner.image_pull_secrets = "registry"
c.KubeSpawner.environment = {"A": "b", "KEY": {"valueFrom": {"secretKeyRef": {"name": "keys", "key": "{username}"}}}}
c.KubeSpawner.extra_container_config = {"envFrom": [{"configMapRef": {"name": "common"}}]}
c.KubeSpawner.profile_list = [{"display_name": "Small", "kubespawner_override": {"cpu_limit": 1}}]
c.Spawner.start_timeout = 300
c.Spawner.default_url = "/lab"
c.Spawner.mem_guarantee = "1G"
c.Spawner.notebook_dir = None
c.JupyterHub.load_roles = [
    {"name": "user", "scopes": ["self", "access:services"]},
    {"name": "culler", "scopes": ["list:users", "servers", "read:users:activity"], "services": ["culler"]},
]
c.JupyterHub.services = [{"name": "culler", "api_token": "0123456789abcdef-secret", "url": "http://culler:80"}]


async def pre_spawn(spawner):
    spawner.environment["X"] = "1"


c.KubeSpawner.pre_spawn_hook = pre_spawn
c.Authenticator.post_auth_hook = lambda authenticator, handler, model: model
