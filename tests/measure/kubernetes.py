"""Many servers in pods: Specola, and JupyterHub with KubeSpawner, on the API server of the tests, whose kubelet brings each
pod up after the same time. Both are asked the same by the same program, over the REST API."""

import contextlib
import http.client
import json
import os
import queue
import shutil
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import uuid

from . import blocks, hubs, machine, scale

# So many people wait for their server at once: what JupyterHub lets start at once.
AT_ONCE = 100
# Milliseconds until a pod has a node, from there until it runs, and from the wish until it has ended.
PACE = {"placing": 200, "starting": 800, "ending": 200}
# Meanwhile the hub is asked for one of the users and for a page of them, so much a second together.
RATE, CONNECTIONS, WINDOW = 2, 2, 10
# So many pods fail in the end, and the hub has to notice.
FAILED = 50
NAMESPACE = "labs"
# Long after what anybody should wait.
PATIENCE = 900


class Fake:
    """The API server, with its kubelet and the servers in pods."""

    def __init__(self, folder):
        self.kubeconfig = os.path.join(folder, "kubeconfig")
        options = [part for name, time in PACE.items() for part in (f"--{name}", str(time))]
        command = [os.environ["SPECOLA_FAKE_KUBERNETES"], "--kubeconfig", self.kubeconfig, "--namespace", NAMESPACE]
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(["taskset", "-c", machine.CLIENT, *command, *options], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env={**os.environ, machine.MARK: self.mark})
        said = json.loads(self.process.stdout.readline())
        self.control, self.lab_port = f"http://{said['control']}", said["lab_port"]

    def asked(self):
        return json.loads(machine.get(f"{self.control}/asked"))

    def pods(self):
        return json.loads(machine.get(f"{self.control}/pods"))

    def fail(self, pod):
        ended = {"terminated": {"exitCode": 137, "reason": "Error"}}
        container = {"name": "notebook", "image": "lab", "imageID": "", "ready": False, "restartCount": 0, "state": ended}
        failed = {"status": {"phase": "Failed", "reason": "Evicted", "containerStatuses": [container]}}
        body = {"kind": "pods", "namespace": NAMESPACE, "name": pod, "by": failed}
        machine.get(f"{self.control}/change", {}, "POST", json.dumps(body).encode())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class KubeSpawner(hubs.JupyterHub):
    name = "JupyterHub with KubeSpawner"

    def __init__(self, folder, database, fake):
        super().__init__(folder, database)
        self.environment = {"KUBECONFIG": fake.kubeconfig}
        with open(os.path.join(folder, "jupyterhub_config.py"), "a") as file:
            file.write(f"""
c.JupyterHub.spawner_class = 'kubespawner.KubeSpawner'
c.JupyterHub.concurrent_spawn_limit = 0
c.Spawner.start_timeout = 300
c.KubeSpawner.namespace = '{NAMESPACE}'
c.KubeSpawner.image = 'lab'
c.KubeSpawner.port = {fake.lab_port}
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_capacity = '1Gi'
c.KubeSpawner.volumes = [{{'name': 'home', 'persistentVolumeClaim': {{'claimName': '{{pvc_name}}'}}}}]
c.KubeSpawner.volume_mounts = [{{'name': 'home', 'mountPath': '/home/jovyan'}}]
""")


class Specola(hubs.Specola):
    environment = {}

    def __init__(self, folder, database, fake):
        super().__init__(folder, database)
        path = os.path.join(folder, "specola.toml")
        with open(path) as file:
            text = file.read().replace("[auth]", "concurrent_spawn_limit = 0\n[auth]")
        with open(path, "w") as file:
            file.write(text + f"""
[spawner]
driver = "kubernetes"
start_timeout = 300
[spawner.kubernetes]
kubeconfig = "{fake.kubeconfig}"
image = "lab"
port = {fake.lab_port}
storage_pvc_ensure = true
storage_capacity = "1Gi"
volumes = [{{ name = "home", persistentVolumeClaim = {{ claimName = "{{pvc_name}}" }} }}]
volume_mounts = [{{ name = "home", mountPath = "/home/jovyan" }}]
""")


class Api:
    """One connection to the hub, of an administrator."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def ask(self, method, path):
        self.connection.request(method, f"/hub/api{path}", headers=hubs.HEADERS | {"Content-Length": "0"})
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def servers(self, name):
        status, body = self.ask("GET", f"/users/{name}")
        if status != 200:
            raise RuntimeError(f"{name}: status {status}: {body[:500]}")
        return json.loads(body)["servers"]


def start(port, name):
    """Starts the server of somebody and waits until it is ready. Gives the seconds that it took, and how often the hub said
    that it is too busy."""
    api, began, refused = Api(port), time.monotonic(), 0
    while (said := api.ask("POST", f"/users/{name}/server"))[0] == 503:
        refused += 1
        time.sleep(1)
    status, body = said
    if status not in (201, 202):
        raise RuntimeError(f"{name}: status {status}: {body[:500]}")
    while status == 202 and not api.servers(name).get("", {}).get("ready"):
        if time.monotonic() - began > PATIENCE:
            raise RuntimeError(f"{name}: not ready")
        time.sleep(0.2)
    return time.monotonic() - began, refused


def start_all(port, names):
    """Starts servers, so many at once. Gives the seconds of each."""
    waiting, took, failed = queue.SimpleQueue(), [], []
    for name in names:
        waiting.put(name)

    def work():
        with contextlib.suppress(queue.Empty):
            while not failed:
                try:
                    took.append(start(port, waiting.get_nowait()))
                except (RuntimeError, OSError) as error:
                    failed.append(error)

    workers = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failed:
        raise failed[0]
    return took


class Asking(threading.Thread):
    """Asks at a steady rate, as long as it is not ended; one figure a window."""

    def __init__(self, port, names, root):
        super().__init__()
        self.url, self.done, self.windows, self.refused = f"http://127.0.0.1:{port}/", threading.Event(), [], 0
        self.requests = os.path.join(root, f"requests-{port}")
        with open(self.requests, "w") as file:
            for number, name in enumerate(names[:: max(1, len(names) // 500)]):
                file.write(f"/hub/api/users/{name} {hubs.TOKEN}\n")
                file.write(f"/hub/api/users?limit=100&offset={number * 100 % len(names)} {hubs.TOKEN}\n")

    def window(self):
        command = ["taskset", "-c", machine.CLIENT, os.environ["SPECOLA_LOAD"], "steady", "--close", self.url]
        command += [str(RATE), str(CONNECTIONS), str(WINDOW), self.requests]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    def run(self):
        while not self.done.is_set():
            try:
                self.windows.append(self.window())
            except subprocess.CalledProcessError:
                self.refused += 1


def noticed(port, fake, pods):
    """Lets pods fail. Gives the seconds until the hub says of each that its server has ended."""
    api, since, took = Api(port), {}, []
    for pod in pods:
        fake.fail(pod["name"])
        since[pod["labels"]["hub.jupyter.org/username"]] = time.monotonic()
    while since:
        for name in list(since):
            if not api.servers(name):
                took.append(time.monotonic() - since.pop(name))
        time.sleep(0.01)
        if since and time.monotonic() - min(since.values()) > PATIENCE:
            raise RuntimeError(f"not noticed: {sorted(since)[:5]}")
    return took


def listed(port, page=200):
    """Seconds in which all who have a server are read, page by page, and how many there are."""
    api, began, found = Api(port), time.monotonic(), 0
    while True:
        status, body = api.ask("GET", f"/users?state=active&limit={page}&offset={found}")
        if status != 200:
            raise RuntimeError(f"a list: status {status}: {body[:500]}")
        count = len(json.loads(body))
        found += count
        if count < page:
            return time.monotonic() - began, found


def of_hub(hub, mark):
    """The processes of the hub itself."""
    for process in machine.marked(mark):
        with open(f"/proc/{process}/cmdline") as file:
            if not hub.is_proxy(file.read()):
                yield process


def measure(root, make, database, names):
    """Starts a server for each of the names."""
    folder = os.path.join(root, f"hub-{time.monotonic_ns()}")
    os.mkdir(folder)
    fake = Fake(folder)
    try:
        hub = make(folder, database, fake)
        with machine.running(hub.command, folder, hub.environment) as mark:
            machine.wait_for(f"http://127.0.0.1:{hub.port}/hub/api", seconds=PATIENCE)
            return measured(root, hub, mark, fake, names)
    finally:
        fake.end()
        shutil.rmtree(folder)


def measured(root, hub, mark, fake, names):
    found = {"memory before": machine.memory(of_hub(hub, mark))}
    before = machine.processor_time(of_hub(hub, mark))
    asking = Asking(hub.hub_port, names, root)
    with blocks.Busy([mark, fake.mark]) as busy:
        asking.start()
        began = time.monotonic()
        try:
            took = start_all(hub.hub_port, names)
        finally:
            asking.done.set()
        found["all ready"] = time.monotonic() - began
        found["processor"] = machine.processor_time(of_hub(hub, mark)) - before
        asking.join()
    found["others"] = busy.share
    pods, counts = fake.pods(), fake.asked()
    assert len(pods) == len(names) and all(pod["phase"] == "Running" for pod in pods), len(pods)
    lags = [pod["first_asked"] - pod["running_since"] for pod in pods]
    found |= {"start": [seconds for seconds, _ in took], "refused": sum(times for _, times in took)}
    found |= {"lag": lags, "asked": counts, "windows": asking.windows, "windows refused": asking.refused}
    found["memory"] = machine.memory(of_hub(hub, mark))
    at_rest = time.monotonic()
    found["at rest"] = asking.window()
    again = fake.asked()
    found["asked at rest"] = sum(again.values()) - sum(counts.values())
    found["rested"] = time.monotonic() - at_rest
    found["list"], count = listed(hub.hub_port)
    assert count == len(names), count
    found["noticed"] = noticed(hub.hub_port, fake, pods[:: max(1, len(pods) // FAILED)][:FAILED])
    return found


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def rows(count, found):
    """What is printed of one hub, by name."""
    ms = lambda values, share: f"{percentile(values, share) * 1000:,.0f}"  # noqa: E731
    windows = found["windows"]
    yield "until all are ready, s", f"{found['all ready']:,.1f}"
    yield "of one start: median, p99, s", " / ".join(f"{percentile(found['start'], at):.2f}" for at in (0.5, 0.99))
    yield "pod runs until its server is asked: median, p99, ms", " / ".join(ms(found["lag"], at) for at in (0.5, 0.99))
    yield "starts that the hub was too busy to take at first (503)", f"{found['refused']:,}"
    yield "processor of the hub, ms a server", f"{found['processor'] / count * 1000:.1f}"
    yield "memory of the hub before and with all, MB", f"{found['memory before']:,.0f} / {found['memory']:,.0f}"
    yield "memory, KB a server", f"{(found['memory'] - found['memory before']) * 1024 / count:.1f}"
    yield "API meanwhile: median of medians, ms", f"{statistics.median(one['median'] for one in windows) / 1000:.1f}"
    yield "API meanwhile: longest of the median and of the worst 10 s, ms", " / ".join(
        f"{of(one['longest'] for one in windows) / 1000:,.1f}" for of in (statistics.median, max))
    yield "of so many 10 s, with an answer that was none", f"{len(windows) + found['windows refused']} / {found['windows refused']}"
    yield "API with all: median, longest, ms", " / ".join(
        f"{found['at rest'][name] / 1000:.1f}" for name in ("median", "longest"))
    yield "list of all who have a server, in pages of 200, s", f"{found['list']:.2f}"
    yield "requests at the API server, a server", f"{sum(found['asked'].values()) / count:.2f}"
    for verb, asked in sorted(found["asked"].items()):
        yield f"  {verb}", f"{asked:,}"
    yield "with all, at rest, a minute", f"{found['asked at rest'] * 60 / found['rested']:,.0f}"
    yield "pod fails until the hub says so: median, longest, s", " / ".join(
        f"{of(found['noticed']):.2f}" for of in (statistics.median, max))
    yield "others used of the machine meanwhile", f"{found['others']:.0%}"


def print_table(columns):
    """A table for documents; each column is a title, a number of servers, and what was found."""
    tables = [dict(rows(count, found)) for _, count, found in columns]
    names = list(dict.fromkeys(name for table in tables for name in table))
    print("| | " + " | ".join(title for title, *_ in columns) + " |")
    print("|---|" + "---|" * len(columns))
    for name in names:
        print(f"| {name} | " + " | ".join(table.get(name, "0") for table in tables) + " |", flush=True)


def report(root, both, alone):
    """`both` are numbers of servers for both hubs, with 1000 people; `alone` those of Specola, with 100 000."""
    import importlib.metadata

    few, many = os.path.join(root, "few.sqlite"), os.path.join(root, "many.sqlite")
    names = [f"person-{number:04}" for number in range(hubs.PEOPLE)]
    columns = []

    def column(title, make, database, names):
        print(f"measuring: {title}", file=sys.stderr, flush=True)
        try:
            columns.append((title, len(names), measure(root, make, database, names)))
        except (RuntimeError, OSError, urllib.error.URLError, AssertionError, subprocess.CalledProcessError) as error:
            print(f"{title}: {error}", flush=True)

    if both:
        hubs.make_database(few)
    for count in both:
        for make in (KubeSpawner, Specola):
            column(f"{make.name}, {count:,}", make, few, names[:count])
    if alone:
        scale.make_database(many)
    for count in alone:
        column(f"Specola, {count:,} of 100 000 people", Specola, many, [scale.name_of(number) for number in range(count)])
    version = importlib.metadata.version
    print(f"\nJupyterHub {version('jupyterhub')}, KubeSpawner {version('jupyterhub-kubespawner')}; {AT_ONCE} starts at once;"
          f" a pod takes {(PACE['placing'] + PACE['starting']) / 1000} s.\n")
    print_table(columns)
