"""Processes of this machine: started on one processor, measured by /proc, stopped with all they started."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
import uuid

# What is measured has the first processor for itself, what loads it has the second.
SERVER, CLIENT = "0", "1"
# Certificates are those of this measurement.
UNVERIFIED = ssl._create_unverified_context()
MARK = "SPECOLA_BENCH"
# By mark, the session of what was started: nginx writes the titles of its workers over their environment.
sessions = {}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def marked(mark):
    """The processes that carry a mark in their environment, or are of the session of what was started with it."""
    wanted = f"{MARK}={mark}".encode()
    for name in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/environ", "rb") as file:
                if wanted in file.read().split(b"\0") or os.getsid(name) == sessions.get(mark):
                    yield name


@contextlib.contextmanager
def running(command, folder, environment=None, processor=SERVER):
    """Runs a command on one processor; in the end kills it and whatever came of it. Gives the mark of them all."""
    mark = uuid.uuid4().hex
    with open(os.path.join(folder, "output.log"), "ab") as log:
        child = subprocess.Popen(["taskset", "-c", processor, *command], cwd=folder, stdin=subprocess.DEVNULL,
                                 stdout=log, stderr=log, start_new_session=True,
                                 env={**os.environ, **(environment or {}), MARK: mark})
    sessions[mark] = child.pid
    try:
        yield mark
    except OSError:
        with open(os.path.join(folder, "output.log")) as log:
            print(*log.readlines()[-20:], sep="", file=sys.stderr)
        raise
    finally:
        child.kill()
        child.wait()
        deadline = time.monotonic() + 10
        while (left := list(marked(mark))) and time.monotonic() < deadline:
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.02)


def get(url, headers=None, method="GET", body=None):
    request = urllib.request.Request(url, headers=headers or {}, method=method, data=body)
    with urllib.request.urlopen(request, timeout=10, context=UNVERIFIED) as answer:
        return answer.read()


def wait_for(url, headers=None, seconds=60, status=200):
    """Asks until the answer is the one that is wanted. Gives the time it took."""
    began = time.monotonic()
    while True:
        try:
            get(url, headers)
            return time.monotonic() - began
        except OSError as error:
            if getattr(error, "code", None) == status:
                return time.monotonic() - began
            if time.monotonic() - began > seconds:
                raise
            time.sleep(0.002)


def memory(processes):
    """Memory in MB, each shared page counted once among those who share it (PSS)."""
    kilobytes = 0
    for process in processes:
        with open(f"/proc/{process}/smaps_rollup") as file:
            kilobytes += int(re.search(r"^Pss:\s+(\d+) kB", file.read(), re.M)[1])
    return kilobytes / 1024


def forget_peak(processes):
    for process in processes:
        with open(f"/proc/{process}/clear_refs", "w") as file:
            file.write("5")


def peak(processes):
    """The most memory in MB that was resident since the last peak was forgotten."""
    kilobytes = 0
    for process in processes:
        with open(f"/proc/{process}/status") as file:
            kilobytes += int(re.search(r"^VmHWM:\s+(\d+) kB", file.read(), re.M)[1])
    return kilobytes / 1024


def threads(processes):
    """Seconds on a processor so far, to the nanosecond, by thread."""
    found = {}
    for process in processes:
        for thread in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{thread}/schedstat") as file:
                found[thread] = int(file.read().split()[0]) / 1e9
    return found


def processor_time(processes):
    """Seconds on a processor so far, over all threads."""
    return sum(threads(processes).values())


def used(processes):
    """Seconds on a processor so far, with those of their children that have ended."""
    ticks = 0
    for process in processes:
        with contextlib.suppress(OSError), open(f"/proc/{process}/stat") as file:
            ticks += sum(map(int, file.read().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def switches(processes):
    """How often threads gave a processor away so far, or had to."""
    count = 0
    for process in processes:
        for thread in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{thread}/status") as file:
                count += sum(map(int, re.findall(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)", file.read(), re.M)))
    return count


@contextlib.contextmanager
def counted(processes):
    """Counts system calls meanwhile. Gives a function for how many it were, once it has ended."""
    command = ["strace", "-c", "-f", *(word for process in processes for word in ("-p", str(process)))]
    counting = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for _ in processes:
            counting.stderr.readline()
        yield lambda: int(re.search(r"^100\.00\s+\S+\s+\S+\s+(\d+)\s", counting.stderr.read(), re.M)[1])
    finally:
        counting.send_signal(signal.SIGINT)
        counting.wait()


def hammer(url, headers, seconds, connections=16):
    """Requests a second when each connection asks again as soon as it is answered."""
    command = ["taskset", "-c", CLIENT, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    output = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"{url} gave errors under load:\n{output}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])


def steady(url, rate, connections, seconds, requests=None):
    """Sends requests at a fixed rate. Gives how many were answered, and in how many microseconds:
    {"answered", "median", "p99", "longest"}. `requests` is a file with `PATH TOKEN` a line, asked in turn."""
    command = ["taskset", "-c", CLIENT, os.environ["SPECOLA_LOAD"], "steady", url, str(rate), str(connections), str(seconds)]
    command += [requests] if requests else []
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
