"""Parts of the proxy by themselves, beside what libraries have for the same: libraries/benches."""

import glob
import json
import os
import shutil
import subprocess

from . import machine, peers

CRATE = os.path.join(os.path.dirname(__file__), "libraries")
HOME = os.path.abspath(os.path.join(peers.BUILT, "..", "bench", "criterion"))


def medians():
    """Nanoseconds by what was measured, in that order."""
    shutil.rmtree(HOME, ignore_errors=True)
    command = ["taskset", "-c", machine.SERVER, "cargo", "bench", "--quiet", "--target-dir", os.path.abspath(peers.BUILT)]
    subprocess.run(command, cwd=CRATE, env={**os.environ, "CRITERION_HOME": HOME}, check=True, capture_output=True)
    found = {}
    for path in sorted(glob.glob(os.path.join(HOME, "*", "new", "estimates.json")), key=os.path.getmtime):
        with open(os.path.join(os.path.dirname(path), "benchmark.json")) as names, open(path) as estimates:
            found[json.load(names)["full_id"]] = json.load(estimates)["median"]["point_estimate"]
    return found
