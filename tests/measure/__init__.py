"""Specola beside JupyterHub, configurable-http-proxy and haproxy, measured in turn in one run."""
