#!/usr/bin/env python3
"""Writes what the real KubeSpawner makes of the settings in cases.json, for `src/golden` to compare our pods with.

    target/tests/jupyterhub-kubernetes/bin/python spawners/kubernetes/tests/golden/make.py [FOLDER]

Needs the packages jupyterhub and jupyterhub-kubespawner, and no cluster. Without a folder the files beside this one are
written anew: `made/NAME.json` for each case, and `names.json`. It fails when KubeSpawner has an option that no case sets.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import jupyterhub.spawner
import kubespawner.spawner
from kubernetes_asyncio.client import ApiClient
from kubespawner import KubeSpawner
from kubespawner.objects import make_namespace, make_owner_reference
from traitlets import default
from traitlets.config import Config

HERE = Path(__file__).parent
NAMESPACE = "labs"
UID = "uid-of-the-pod"

# Options that change nothing of what is made.
NOT_MADE = {
    *("k8s_api_host", "k8s_api_ssl_ca_cert", "k8s_api_verify_ssl"),
    *("k8s_api_request_timeout", "k8s_api_request_retry_timeout", "k8s_api_threadpool_workers"),
    *("delete_pvc", "remember_pvc_name", "handle_legacy_names", "delete_stopped_pods", "delete_grace_period"),
    *("events_enabled", "slow_spawn_message", "slow_spawn_message_threshold", "slow_spawn_message_frequency"),
    *("profile_list", "profile_form_template", "additional_profile_form_template_paths"),
    # Functions of Python.
    *("modify_pod_hook", "after_pod_created_hook", "get_pod_url"),
    # Names of before.
    *("hub_connect_ip", "hub_connect_port"),
}

# Names that are made into parts of names.
USERS = [
    *("anna", "Anna", "anna.maria@example.org", "é", "1anna", "a--b", "anna-", "-anna", "a_b", "ÀÉÎ", "x" * 32, "x" * 48),
    *("y" * 49, "z" * 63, "w" * 64, "0" * 40, "a b c", "日本語", "İstanbul", "kube-system", "A" * 50 + "@example.org"),
]
SERVERS = ["", "gpu", "G P U", "a-rather-long-name-for-a-server", "x--y", "7", "é"]


class Spawner(KubeSpawner):
    """KubeSpawner in a cluster, and without a database: its server's path is said here."""

    server = None

    @default("namespace")
    def _namespace_default(self):
        return NAMESPACE


def spawner_of(case):
    """A spawner with the settings of a case, and what was chosen for one server, for a person and a hub that are not there."""
    config = Config({"KubeSpawner": case.get("settings", {})})
    name = case.get("user", "anna")
    user = SimpleNamespace(name=name, escaped_name=name, id=5, url=f"/user/{name}/")
    hub = SimpleNamespace(public_host="", url="/hub/", base_url="/hub/", api_url="http://hub:8081/hub/api")
    server = case.get("server", "")
    spawner = Spawner(
        user=user,
        hub=hub,
        orm_spawner=SimpleNamespace(name=server, server=None),
        config=config,
        api_token="token",
        oauth_client_id="client",
        oauth_access_scopes=["access:servers"],
        internal_ssl=case.get("internal_ssl", False),
        _mock=True,
    )
    spawner.user, spawner.hub = user, hub
    spawner.public_url = spawner.public_hub_url = ""
    prefix = f"/user/{name}/{server}/" if server else f"/user/{name}/"
    spawner.server = SimpleNamespace(base_url=prefix)
    spawner._apply_overrides(case.get("override", {}))
    return spawner


def certificates(spawner, folder):
    """Stands for the files that JupyterHub signs."""
    files = {name: folder / name for name in ("keyfile", "certfile", "cafile", "hub-ca")}
    for name, file in files.items():
        file.write_text(f"{name}\n")
    spawner.cert_paths = {name: str(files[name]) for name in ("keyfile", "certfile", "cafile")}
    spawner.internal_trust_bundles = {"hub-ca": str(files["hub-ca"])}


async def made(case, sanitize, folder):
    """All that is made for one server."""
    spawner = spawner_of(case)
    # What the hub says by itself is no question of pods.
    own, spawner.environment = spawner.environment, {}
    told = jupyterhub.spawner.Spawner.get_env(spawner)
    spawner.environment = own
    owner = make_owner_reference(spawner.pod_name, UID)
    result = {"name": case["name"], "kubespawner": kubespawner.__version__, "told": told}
    if spawner.internal_ssl:
        certificates(spawner, folder)
        result["alternative_names"] = spawner.ssl_alt_names
        result["secret"] = spawner.get_secret_manifest(owner)
    result["pod"] = await spawner.get_pod_manifest()
    if spawner.storage_pvc_ensure:
        result["claim"] = spawner.get_pvc_manifest()
        result["claim_of_before"] = spawner._expand_user_properties(spawner.pvc_name_template, slug_scheme="escape")
        spawner._pvc_exists = True
    if spawner.services_enabled or spawner.internal_ssl:
        result["service"] = spawner.get_service_manifest(owner, spawner.port)
    pod = sanitize(result["pod"])
    pod["status"] = {"podIP": "10.0.0.7"}
    result["url"] = spawner._get_pod_url(pod)
    if spawner.enable_user_namespaces:
        labels = spawner._expand_all(spawner.user_namespace_labels)
        annotations = spawner._expand_all(spawner.user_namespace_annotations)
        result["space"] = make_namespace(spawner.namespace, labels=labels, annotations=annotations)
    result["state"] = spawner.get_state()
    return without_versions(sanitize(result))


def without_versions(value):
    """The same whichever KubeSpawner it was."""
    if isinstance(value, dict):
        known = {name: "a version" for name in value if name.endswith("-version") or name == "kubespawner_version"}
        return {name: without_versions(part) for name, part in value.items()} | known
    return [without_versions(part) for part in value] if isinstance(value, list) else value


def names():
    """What templates make of names, and what is written in labels."""
    fields = ["username", "servername", "user_server", "hubnamespace", "userid"]
    fields += [f"{way}_{name}" for way in ("safe", "escaped", "unescaped") for name in ("username", "servername")]
    fields += ["safe_user_server", "escaped_user_server"]
    asked = [("safe", user, server) for user in USERS for server in SERVERS]
    asked += [("escape", user, server) for user in USERS[:3] for server in SERVERS]
    for scheme, user, server in asked:
        spawner = spawner_of({"user": user, "server": server, "settings": {"slug_scheme": scheme}})
        # As it is between two signs: hyphens at the end are taken away.
        filled = {field: spawner._expand_user_properties(f"<{{{field}}}>")[1:-1] for field in fields}
        labels = spawner._build_pod_labels({})
        labels = {name: labels[f"hub.jupyter.org/{name}"] for name in ("username", "servername")}
        yield {"scheme": scheme, "user": user, "server": server, "fields": filled, "labels": labels}


def unset(cases):
    """Options of KubeSpawner that no case sets."""
    own = {name for name, trait in KubeSpawner.class_own_traits(config=True).items()}
    return sorted(own - NOT_MADE - {option for case in cases for option in case.get("settings", {})})


async def main(folder):
    kubespawner.spawner.load_config = lambda **_: None
    kubespawner.spawner.shared_client = lambda *_: Mock()
    cases = json.loads((HERE / "cases.json").read_text())
    if missing := unset(cases):
        sys.exit(f"cases.json has no case with {', '.join(missing)}")
    (folder / "made").mkdir(parents=True, exist_ok=True)
    for old in (folder / "made").glob("*.json"):
        old.unlink()
    with tempfile.TemporaryDirectory() as papers:
        async with ApiClient() as client:
            for case in cases:
                value = await made(case, client.sanitize_for_serialization, Path(papers))
                text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)
                (folder / "made" / f"{case['name']}.json").write_text(f"{text}\n")
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in names())
    (folder / "names.json").write_text(f"[\n{rows}\n]\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE))
