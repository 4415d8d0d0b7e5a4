"""Proxies with a route to one server, each as its own documentation would have it for notebooks."""

import json
import os
import platform
import subprocess
import tomllib

from . import machine

TOKEN = "a-token-for-measuring"
HEADERS = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
PREFIX = "/user/alice/"
# A port at which nobody listens.
NOBODY = 1
# What libraries/ becomes.
BUILT = os.path.join(os.path.dirname(__file__), "..", "..", "target", "libraries")


class Peer:
    """A proxy: how it is started, and what is to be done before it is asked. `api_port` is of a REST API for routes,
    `target` the port to which they lead, and `status` that of its answers."""

    def __init__(self, name, command, port, target, api_port=None, environment=None, scheme="http"):
        self.name, self.command, self.port, self.target = name, command, port, target
        self.api_port, self.environment, self.scheme, self.status = api_port, environment or {}, scheme, 200
        # What one cannot do is not tried, and what a library fails in is left out; of others it is a fault of the measurement.
        self.may_fail, self.cannot = False, ()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}{PREFIX}api"

    def ready(self):
        if self.api_port:
            machine.wait_for(f"http://127.0.0.1:{self.api_port}/api/routes", HEADERS)
            self.add_route(PREFIX.strip("/"))
        machine.wait_for(self.url, status=self.status)

    def add_route(self, path):
        body = json.dumps({"target": f"http://127.0.0.1:{self.target}"}).encode()
        machine.get(f"http://127.0.0.1:{self.api_port}/api/routes/{path}", HEADERS, "POST", body)


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def certificate(folder):
    """A certificate and its key, both in one file, of the kind that authorities give today."""
    path = os.path.join(folder, "certificate.pem")
    if not os.path.exists(path):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", "/CN=localhost", "-days", "2", "-keyout", path + ".key", "-out", path + ".crt"],
                       check=True, capture_output=True)
        with open(path, "w") as file:
            for part in (".crt", ".key"):
                file.write(open(path + part).read())
    return path


def secured(make):
    """The same proxy, speaking TLS to clients."""
    def made(folder, target):
        return make(folder, target, certificate(folder))
    return made


def serverless(make):
    """The same proxy, whose server is not there."""
    def made(folder, target):
        peer = make(folder, NOBODY)
        peer.status = 502 if peer.name in ("nginx", "caddy") else 503
        return peer
    return made


def with_two_threads(make):
    def made(folder, target):
        return make(folder, target, threads=2)
    return made


def scheme(pem):
    return "https" if pem else "http"


def nothing(folder, target):
    """No proxy at all: what the load and the server cost by themselves."""
    return Peer("no proxy", None, target, target)


def relay(folder, target):
    """Passes bytes on and reads nothing of them: what the kernel takes for any proxy."""
    port = machine.free_port()
    return Peer("bare relay", [os.environ["SPECOLA_LOAD"], "relay", str(port), str(target)], port, target)


def library(name, cannot=()):
    """A proxy that is little more than a library's; see libraries/. `cannot` are scenarios it is not made for."""
    def made(folder, target):
        port = machine.free_port()
        peer = Peer(name, [os.path.join(BUILT, "release", "libraries"), name, str(port), str(target)], port, target)
        peer.may_fail, peer.cannot = True, cannot
        return peer
    return made


def haproxy(folder, target, pem=None, threads=1):
    port = machine.free_port()
    path = write(folder, "haproxy.cfg", f"""global
  nbthread {threads}
  maxconn 9500
defaults
  mode http
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
  timeout connect 5s
  option http-keep-alive
{"  retries 0" if target == NOBODY else ""}
  option forwardfor
listen here
  bind 127.0.0.1:{port}{f" ssl crt {pem} alpn h2,http/1.1" if pem else ""}
  http-reuse always
  server lab 127.0.0.1:{target}
""")
    return Peer("haproxy", ["haproxy", "-db", "-f", path], port, target, scheme=scheme(pem))


def nginx(folder, target, pem=None, threads=1):
    port = machine.free_port()
    path = write(folder, "nginx.conf", f"""daemon off;
master_process {"on" if threads > 1 else "off"};
worker_processes {threads};
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 19900; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000;
  client_max_body_size 0;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  upstream lab {{ server 127.0.0.1:{target}; keepalive 64; }}
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  server {{
    listen 127.0.0.1:{port}{" ssl http2" if pem else ""}{" reuseport" if threads > 1 else ""};
{f"    ssl_certificate {pem}; ssl_certificate_key {pem};" if pem else ""}
    location / {{
      proxy_pass http://lab;
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 1h;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
}}
""")
    return Peer("nginx", ["nginx", "-p", folder, "-e", "stderr", "-c", path], port, target, scheme=scheme(pem))


def caddy(folder, target, pem=None):
    """Of the class of proxies in Go."""
    port = machine.free_port()
    tls = f"tls {pem}.crt {pem}.key" if pem else ""
    path = write(folder, "Caddyfile", f"""{{
  admin off
  auto_https off
  default_sni localhost
  storage file_system {folder}
}}
{scheme(pem)}://:{port} {{
  bind 127.0.0.1
  {tls}
  reverse_proxy 127.0.0.1:{target} {{
    flush_interval -1
  }}
}}
""")
    command = ["caddy", "run", "--config", path, "--adapter", "caddyfile"]
    return Peer("caddy", command, port, target, environment={"GOMAXPROCS": "1", "HOME": folder}, scheme=scheme(pem))


def chp_command(program, port, api_port):
    return [*program, "--ip", "127.0.0.1", "--port", str(port), "--api-ip", "127.0.0.1", "--api-port", str(api_port),
            "--log-level", "warn"]


def configurable_http_proxy(folder, target, pem=None):
    port, api_port = machine.free_port(), machine.free_port()
    command = chp_command([os.environ["SPECOLA_CHP"]], port, api_port)
    command += ["--ssl-cert", pem + ".crt", "--ssl-key", pem + ".key"] if pem else []
    return Peer("configurable-http-proxy", command, port, target, api_port, {"CONFIGPROXY_AUTH_TOKEN": TOKEN},
                scheme(pem))


def specola_as_chp(folder, target):
    port, api_port = machine.free_port(), machine.free_port()
    command = chp_command([os.environ["SPECOLA_BIN"], "configurable-http-proxy"], port, api_port)
    return Peer("Specola", command, port, target, api_port, {"CONFIGPROXY_AUTH_TOKEN": TOKEN})


def specola(folder, target, pem=None):
    """Finds its route in the snapshot which it keeps for times without a hub. Has a thread for each processor it may use."""
    port = machine.free_port()
    token = write(folder, f"token-{port}", TOKEN)
    os.chmod(token, 0o600)
    route = {"prefix": PREFIX, "target": f"http://127.0.0.1:{target}"}
    snapshot = {"type": "snapshot", "epoch": "measurement", "revision": 1, "routes": [route]}
    routes = write(folder, f"routes-{port}", json.dumps(snapshot) + "\n")
    return Peer("Specola", [os.environ["SPECOLA_BIN"], "proxy", "--listen", f"127.0.0.1:{port}", "--token-file", token,
                            "--snapshot", routes, "--max-connections", "9500",
                            *(["--ssl-cert", pem + ".crt", "--ssl-key", pem + ".key"] if pem else [])],
                port, target, scheme=scheme(pem))


ALL = [configurable_http_proxy, nginx, haproxy, caddy, specola]
# The first has no websockets.
hyper_reverse_proxy = library("hyper-reverse-proxy", ("echo", "storm", "lab"))
axum_reverse_proxy = library("axum-reverse-proxy")
LIBRARIES = [hyper_reverse_proxy, axum_reverse_proxy]
TWO_THREADS = [with_two_threads(nginx), with_two_threads(haproxy), specola]
for make in ALL:
    make.speaks_http2 = make is not configurable_http_proxy


def versions():
    """What the programs and the system call themselves, and what spaces the segments of TCP."""
    with open("/proc/sys/net/ipv4/tcp_congestion_control") as file:
        congestion = file.read().strip()
    first = lambda *command: (subprocess.run(command, capture_output=True, text=True).stdout or  # noqa: E731
                              subprocess.run(command, capture_output=True, text=True).stderr).split("\n")[0].strip()
    with open(os.path.join(os.path.dirname(__file__), "libraries", "Cargo.lock"), "rb") as file:
        locked = {package["name"]: package["version"] for package in tomllib.load(file)["package"]}
    return {"configurable-http-proxy": first(os.environ["SPECOLA_CHP"], "--version"), "nginx": first("nginx", "-v"),
            "haproxy": first("haproxy", "-v"), "caddy": first("caddy", "version"),
            **{make(None, NOBODY).name: locked[make(None, NOBODY).name] for make in LIBRARIES},
            "Specola": first(os.environ["SPECOLA_BIN"], "--version"),
            "Linux": f"{platform.release()}, with {congestion}"}
