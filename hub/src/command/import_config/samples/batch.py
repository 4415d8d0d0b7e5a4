# As a computing centre writes it.
import pwd
import batchspawner
from jupyterhub.auth import PAMAuthenticator

c = get_config()


class Centre(PAMAuthenticator):
    pass


c.JupyterHub.ip = "10.0.0.1"
c.JupyterHub.port = 8443
c.JupyterHub.hub_ip = "10.0.0.1"
c.JupyterHub.authenticator_class = Centre
c.JupyterHub.spawner_class = "batchspawner.SlurmSpawner"
c.PAMAuthenticator.service = "sshd"
c.PAMAuthenticator.open_sessions = False
c.Authenticator.username_map = {"root": "nobody"}
c.Authenticator.blocked_users = {"eve"}
c.Spawner.http_timeout = 120
c.Spawner.cmd = ["/opt/jupyter/bin/jupyterhub-singleuser"]
c.Spawner.args = ["--debug"]
c.SlurmSpawner.req_partition = "interactive"
c.SlurmSpawner.batch_script = "#!/bin/bash\nexec {cmd}\n"
c.JupyterHub.cookie_secret = bytes.fromhex("5a" * 32)
c.JupyterHub.ssl_key = "/etc/ssl/key.pem"
c.JupyterHub.ssl_cert = "/etc/ssl/cert.pem"
c.JupyterHub.internal_ssl = True
c.JupyterHub.trusted_alt_names = ["DNS:hub.example.org"]
c.JupyterHub.recreate_internal_certs = True
c.JupyterHub.active_server_limit = "many"
