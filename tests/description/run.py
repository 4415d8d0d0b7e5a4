"""Runs schemathesis with JupyterHub's description of its REST API against a hub.

Usage: run.py ORIGIN FOLDER, with an administrator's token in SPECOLA_TOKEN. The description that is used, and what is
told of the run, are left in FOLDER. Ends with the status of schemathesis: 0 when every answer is a documented one.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).parent
METHODS = {"get", "put", "post", "patch", "delete"}
# What exists at the start, so that not every path leads to nothing. The test makes it.
THERE = {
    "userName": ["alice", "bob"],
    "groupName": ["staff", "pupils"],
    "serverName": ["one", "two"],
    "sharedServerOwner": ["alice"],
    "sharedServerName": ["one"],
}
# These take away what the others need: they have names of their own.
SPENT = {"delete-user": ["gone"], "patch-user": ["moved"], "delete-group": ["closed"]}
# It stops the hub, so the test asks for it by itself at the end.
APART = {"post-shutdown"}


def operations(description):
    for path, item in description["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield path, method, operation


def either(names):
    return {"anyOf": [{"type": "string", "enum": names}, {"type": "string"}]}


def amended():
    """The description with the statuses it lacks, and with names of what is there."""
    description = yaml.safe_load((HERE / "jupyterhub-rest-api.yml").read_text())
    known = {operation["operationId"]: operation for _, _, operation in operations(description)}
    for deviation in json.loads((HERE / "deviations.json").read_text()):
        for name in deviation["proof"]:
            responses = known[name]["responses"]
            assert str(deviation["status"]) not in map(str, responses), f"{name}: {deviation['status']} is described"
            responses[str(deviation["status"])] = {"description": deviation["why"]}
    for parameter, names in THERE.items():
        description["components"]["parameters"][parameter]["schema"] = either(names)
    for path, method, operation in list(operations(description)):
        if names := SPENT.get(operation["operationId"]):
            operation["parameters"] = [
                {"name": "name", "in": "path", "required": True, "schema": either(names)}
            ] + operation["parameters"][1:]
        if operation["operationId"] in APART:
            del description["paths"][path][method]
    return description


def main():
    origin, folder = sys.argv[1], Path(sys.argv[2])
    described = folder / "description.json"
    described.write_text(json.dumps(amended(), default=lambda moment: moment.isoformat()))
    command = [
        Path(sys.executable).with_name("schemathesis"), "run", described,
        "--url", f"{origin}/hub/api",
        "--header", f"Authorization: token {os.environ['SPECOLA_TOKEN']}",
        "--checks", "not_a_server_error,status_code_conformance",
        "--phases", "examples,coverage,fuzzing",
        "--max-examples", os.environ.get("SPECOLA_EXAMPLES", "8"),
        "--seed", "1",
        "--generation-database", "none",
        "--suppress-health-check", "all",
        "--no-shrink", "--continue-on-failure", "--no-color", "--warnings", "off",
        "--request-timeout", "30",
        "--report", "ndjson", "--report-ndjson-path", folder / "report.ndjson",
    ]
    kept = json.dumps(sum(THERE.values(), []))
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE), "SPECOLA_KEPT": kept}
    sys.exit(subprocess.run([str(part) for part in command], cwd=folder, env=environment).returncode)


main()
