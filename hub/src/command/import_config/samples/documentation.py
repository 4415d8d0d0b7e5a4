# Pieces of JupyterHub's own documentation.
c = get_config()

c.JupyterHub.bind_url = "http://127.0.0.1:9000/base/"
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "a shared password"
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.cookie_max_age_days = 7
c.JupyterHub.custom_scopes = {"custom:grades:read": {"description": "read grades"}}
c.JupyterHub.redirect_to_server = False
c.Authenticator.allow_all = True
c.Spawner.oauth_client_allowed_scopes = ["custom:grades:read"]
c.JupyterHub.trusted_downstream_ips = ["10.1.2.3"]
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 3}
