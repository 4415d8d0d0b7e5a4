"""Proxies in turn: each is started, and does the same work as the others, so many times."""

import contextlib
import os
import subprocess
import sys
import time

from . import machine

# A block in which others used more than this of the machine is left out, as long as enough are left.
FOREIGN, ENOUGH = 0.05, 3


class Busy:
    """How much of the two processors others used meanwhile: a share above which a figure is not trusted."""

    def __init__(self, marks):
        self.marks = marks

    def __enter__(self):
        self.began, self.own, self.all = time.monotonic(), self.ours(), self.used()
        return self

    def __exit__(self, *_):
        passed = time.monotonic() - self.began
        self.share = max(0, (self.used() - self.all) - (self.ours() - self.own)) / passed / (os.cpu_count() or 1)

    def ours(self):
        return machine.used([os.getpid(), *(process for mark in self.marks for process in machine.marked(mark))])

    def used(self):
        """Of all processes, and what neighbours of this machine had of it. The kernel's sums of all time that is not idle
        are of ticks, which miss most of what is short, or count it double."""
        with open("/proc/stat") as file:
            stolen = int(file.readline().split()[8]) / os.sysconf("SC_CLK_TCK")
        return machine.used(filter(str.isdigit, os.listdir("/proc"))) + stolen


@contextlib.contextmanager
def backend(folder):
    port = machine.free_port()
    command = [os.environ["SPECOLA_LOAD"], "backend", str(port)]
    with machine.running(command, folder, processor=machine.CLIENT) as mark:
        machine.wait_for(f"http://127.0.0.1:{port}/")
        yield port, mark


@contextlib.contextmanager
def started(make, folder, target, processor=machine.SERVER):
    peer = make(folder, target)
    if peer.command is None:
        yield peer, None
        return
    with machine.running(peer.command, folder, peer.environment, processor) as mark:
        peer.ready()
        yield peer, mark


def blocks(folder, count, makers, scenarios, processor=machine.SERVER):
    """By name of peer and of figure, one value a block. The order turns from block to block."""
    found, busy = {}, []
    with backend(folder) as (target, of_backend):
        for block in range(count):
            shares = []
            for make in makers if block % 2 == 0 else reversed(makers):
                measured = started(make, folder, target, processor)
                with measured as (peer, mark), Busy([of_backend, *([mark] if mark else [])]) as others:
                    for scenario in scenarios:
                        for name, value in figures(scenario, peer, mark).items():
                            found.setdefault(peer.name, {}).setdefault(name, []).append(value)
                shares.append(others.share)
            busy.append(max(shares))
    # What failed in any block has no figure.
    whole = {name: {figure: values for figure, values in of_peer.items() if len(values) == count}
             for name, of_peer in found.items()}
    return whole, busy


def figures(scenario, peer, mark):
    """What a scenario gives; of those who may fail, perhaps nothing."""
    if scenario.__name__ in peer.cannot:
        return {}
    try:
        return scenario(peer, mark)
    except (OSError, RuntimeError, ValueError, subprocess.CalledProcessError):
        if not peer.may_fail:
            raise
        print(f"{peer.name} cannot do {scenario.__name__}, which is left out", file=sys.stderr)
        return {}


def kept(found, busy):
    """The blocks in which this machine was left alone, and how many are left out; all of them if too few would be left."""
    quiet = [block for block, share in enumerate(busy) if share <= FOREIGN]
    if len(quiet) < ENOUGH:
        quiet = list(range(len(busy)))
    chosen = {name: {figure: [values[block] for block in quiet] for figure, values in figures.items()}
              for name, figures in found.items()}
    return chosen, len(busy) - len(quiet)
