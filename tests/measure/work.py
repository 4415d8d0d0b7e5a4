"""What proxies are given to do, and how much of a processor they used for it."""

import contextlib
import json
import os
import subprocess

from . import machine

RATE, CONNECTIONS, SECONDS = 2000, 64, 3
MB = 1_000_000


def command(*arguments):
    return ["taskset", "-c", machine.CLIENT, os.environ["SPECOLA_LOAD"], *map(str, arguments)]


def load(*arguments):
    return json.loads(subprocess.run(command(*arguments), check=True, stdout=subprocess.PIPE, text=True).stdout)


@contextlib.contextmanager
def opened(*arguments):
    """A load that opens much before it begins, when it has. It ends when its input does, or earlier."""
    with subprocess.Popen(command(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            json.loads(running.stdout.readline())["open"]
            yield running
        except BaseException:
            running.kill()
            raise
        running.stdin.close()
    if running.returncode:
        raise RuntimeError(f"{arguments} failed")


def spent(mark, work):
    """Seconds of processor time of a proxy during some work, and what the work gave. Without a mark: none."""
    processes = list(machine.marked(mark)) if mark else []
    before = machine.processor_time(processes)
    found = work()
    return machine.processor_time(processes) - before, found


def spent_once_open(mark, *arguments):
    """As `spent`, of a load that opens much before it begins: what it takes to open is not counted."""
    with opened(*arguments) as running:
        seconds, line = spent(mark, running.stdout.readline)
        return seconds, json.loads(line)


def steady(url, *more, rate=RATE, connections=CONNECTIONS, seconds=SECONDS):
    found = load("steady", url, rate, connections, seconds, *more)
    if found["answered"] < 0.9 * rate * seconds:
        raise RuntimeError(f"only {found['answered']} of {rate * seconds} requests were answered")
    return found


def browser_headers():
    """About what a browser sends to a notebook: cookies of 1.5 kB and some twenty headers more. As arguments of a load."""
    return [word for name, value in BROWSER.items() for word in ("--header", f"{name}: {value}")]


BROWSER = {"Cookie": "; ".join(f"cookie-{number}={'c' * 240}" for number in range(6)), "Accept": "application/json",
           "Accept-Language": "it-IT,it;q=0.9,en;q=0.8", "Cache-Control": "no-cache", "Pragma": "no-cache",
           "Referer": "http://127.0.0.1/user/alice/lab/tree/notebook.ipynb", "X-XSRFToken": "2|" + "a" * 60,
           "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0",
           **{f"Sec-Fetch-{name}": "same-origin" for name in ("Dest", "Mode", "Site", "User", "Storage")},
           **{f"X-Measured-{number}": "some value of a header" for number in range(10)}}
