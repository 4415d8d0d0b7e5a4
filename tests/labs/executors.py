"""A lab whose program makes an executor, as Spark's driver does: a pod of the template that the lab finds, by the account that
it has, which comes back to a port of the lab and tells what keys of the object store boto3 finds there."""

import json
import os
import signal
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
DRIVER_PORT = 2222
PATIENCE = 60

EXECUTOR = """
import json, os, socket
from botocore.session import get_session
keys = get_session().get_credentials()
frozen = keys.get_frozen_credentials()
said = {"method": keys.method, "key": bool(frozen.access_key), "session": bool(frozen.token),
        "endpoint": os.environ["AWS_ENDPOINT_URL_S3"], "hub": "JUPYTERHUB_API_TOKEN" in os.environ}
with socket.create_connection((os.environ["DRIVER_HOST"], int(os.environ["DRIVER_PORT"])), 30) as driver:
    driver.sendall(json.dumps(said).encode())
"""

address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
trust = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt")
# The test's cluster has no services: its API server is asked at an address that its certificate may not name.
trust.check_hostname = False


def ask(path, body=None):
    headers = {"Authorization": f"Bearer {open(f'{ACCOUNT}/token').read()}", "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(os.environ["API_SERVER"] + path, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def execute():
    namespace = os.environ["SPECOLA_EXECUTOR_NAMESPACE"]
    with open(os.environ["SPECOLA_EXECUTOR_TEMPLATE"]) as file:
        pod = json.load(file)
    pod["metadata"]["name"] = "executor"
    container = pod["spec"]["containers"][0]
    # As little as it needs: the test's machine is small.
    container["resources"] = {}
    # What an image for executors would have by itself.
    container["volumeMounts"] = [{"name": "packages", "mountPath": "/packages", "readOnly": True}]
    container["env"].append({"name": "PYTHONPATH", "value": "/packages"})
    container["command"] = ["python3", "-c", EXECUTOR]
    container["env"] += [{"name": "DRIVER_HOST", "value": os.environ["SPECOLA_DRIVER_HOST"]},
                         {"name": "DRIVER_PORT", "value": str(DRIVER_PORT)}]
    with socket.create_server((os.environ["SPECOLA_DRIVER_HOST"], DRIVER_PORT)) as driver:
        driver.settimeout(PATIENCE)
        status, made = ask(f"/api/v1/namespaces/{namespace}/pods", pod)
        if status != 201:
            return {"status": status, "said": made}
        connection, peer = driver.accept()
        with connection:
            told = json.loads(b"".join(iter(lambda: connection.recv(4096), b"")))
    own = open(f"{ACCOUNT}/namespace").read()
    far = {name: ask(path)[0] for name, path in [
        ("secrets", f"/api/v1/namespaces/{namespace}/secrets"), ("labs", f"/api/v1/namespaces/{own}/pods"),
        ("everybody", "/api/v1/pods")]}
    return {"told": told, "came_from_it": is_of_executor(namespace, peer[0]), "namespace": namespace, "far": far}


def is_of_executor(namespace, peer):
    """The cluster may know a pod's address later than the lab does."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        _, pod = ask(f"/api/v1/namespaces/{namespace}/pods/executor")
        if address := pod["status"].get("podIP"):
            return address == peer
        time.sleep(0.1)
    return False


class Lab(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        said = {}
        if self.path.endswith("/execute"):
            try:
                said = execute()
            except OSError as error:
                said = {"error": repr(error)}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, text, *values):
        print(text % values, flush=True)


for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: sys.exit(0))
server = ThreadingHTTPServer((address.hostname, address.port), Lab)
server.daemon_threads = True
server.serve_forever()
