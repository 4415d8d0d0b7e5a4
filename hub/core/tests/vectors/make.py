"""Makes the vectors beside this file with the code of JupyterHub 6.1 itself.

Run it with the Python of an environment that has JupyterHub:  python make.py
With a factor and a seed it prints so many times as many random vectors of scopes instead:  python make.py 10 4711
"""

import base64
import json
import random
import re
import sys
import warnings
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

from jupyterhub import _xsrf_utils, auth, crypto, orm, roles, scopes, slugs, utils
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.handlers.base import BaseHandler
from tornado.httputil import HTTPHeaders
from tornado.web import create_signed_value

warnings.simplefilter("ignore")
random.seed(61)
HERE = Path(__file__).parent
SECRET = "0123456789abcdef" * 4
TIME = 1_700_000_000


def write(name, rows):
    """One row a line, so that differences can be read."""
    if isinstance(rows, dict):
        parts = [f"{json.dumps(key)}: {lines(value)}" for key, value in rows.items()]
        text = "{\n" + ",\n".join(parts) + "\n}\n"
    else:
        text = lines(rows) + "\n"
    (HERE / f"{name}.json").write_text(text)


def lines(rows):
    if not isinstance(rows, list):
        return json.dumps(rows)
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]"


# ---------------------------------------------------------------- scopes

GROUPS = {"alice": ["g1", "g2"], "bob": ["g2"], "carol": []}


def hub():
    db = orm.new_session_factory("sqlite:///:memory:")()
    roles.create_role(db, {"name": "token", "scopes": ["inherit"]})
    db.add(orm.OAuthClient(identifier="jupyterhub", secret=""))
    groups = {name: orm.Group(name=name) for name in ("g1", "g2")}
    db.add_all(groups.values())
    for name, member_of in GROUPS.items():
        user = orm.User(name=name, groups=[groups[group] for group in member_of])
        db.add(user)
    db.commit()
    alice = orm.User.find(db, "alice")
    for server in ("", "gpu"):
        spawner = orm.Spawner(name=server, user=alice)
        client = orm.OAuthClient(identifier=f"jupyterhub-user-alice-{server}", secret="")
        db.add_all([spawner, client])
        db.commit()
        spawner.oauth_client_id = client.identifier
    service = orm.Service(name="svc")
    client = orm.OAuthClient(identifier="service-svc", secret="")
    db.add_all([service, client])
    db.commit()
    service.oauth_client_id = client.identifier
    db.commit()
    return db


CLIENTS = ["jupyterhub", "jupyterhub-user-alice-", "jupyterhub-user-alice-gpu", "service-svc"]
OWNERS = ["user:alice", "user:bob", "service:svc"]
FILTERS = [
    "", "!user", "!server", "!service", "!user=alice", "!user=bob", "!user=dave", "!group=g1", "!group=g2",
    "!group=g3", "!server=alice/", "!server=alice/gpu", "!server=bob/x", "!service=svc", "!service=other",
]
NAMED = [one for one in FILTERS if not one or "=" in one]


def owner_of(db, owner):
    kind, _, name = owner.partition(":")
    return (orm.User if kind == "user" else orm.Service).find(db, name)


def client_of(db, identifier):
    return db.query(orm.OAuthClient).filter_by(identifier=identifier).one()


def some(filters, most):
    names = sorted(scopes.scope_definitions)
    few = random.sample(names, 6) + ["servers", "users", "read:users", "access:servers", "self", "shares"]
    return sorted({random.choice(few) + random.choice(filters) for _ in range(random.randint(1, most))})


def expanded(db, filters, most):
    return sorted(scopes.expand_scopes(some(filters, most), owner=owner_of(db, "user:alice")))


def scope_vectors(times=1):
    db = hub()
    expand = []
    cases = [([name + filter_], "user:alice", CLIENTS[2]) for name in scopes.scope_definitions for filter_ in ("", "!user")]
    cases += [([name + filter_], "user:alice", CLIENTS[1])
              for name in ("servers", "shares", "admin:users", "access:services") for filter_ in FILTERS]
    cases += [(some(FILTERS, 5), random.choice(OWNERS), random.choice(CLIENTS)) for _ in range(120 * times)]
    for raw, owner, client in cases:
        result = scopes.expand_scopes(raw, owner=owner_of(db, owner), oauth_client=client_of(db, client))
        expand.append({"raw": raw, "owner": owner, "client": client, "expanded": sorted(result)})

    intersect = []
    for _ in range(150 * times):
        a, b = expanded(db, NAMED, 4), expanded(db, NAMED, 4)
        both = scopes._intersect_expanded_scopes(a, b, db=db)
        intersect.append({"a": a, "b": b, "both": sorted(both)})

    targets = [None, "user=alice", "user=bob", "user=dave", "server=alice/", "server=alice/gpu", "server=bob/x",
               "group=g1", "group=g2", "service=svc"]
    may = []
    for _ in range(250 * times):
        have = expanded(db, NAMED, 3)
        wanted = random.choice([one.partition("!")[0] for one in have] + ["servers", "read:hub"])
        target = random.choice(targets)
        full = f"{wanted}!{target}" if target else wanted
        allowed = scopes.has_scope(full, set(have), db=db)
        hidden = bool(target) and wanted in scopes.parse_scopes(have)
        verdict = "allowed" if allowed else "hidden" if hidden else "forbidden"
        may.append({"have": have, "scope": wanted, "target": target, "verdict": verdict})

    token = []
    for _ in range(150 * times):
        owner, client = random.choice(OWNERS), random.choice(CLIENTS)
        role_scopes, stored = some(FILTERS, 5), some(FILTERS, 3)
        if random.random() < 0.1:
            stored.append("inherit")
        if random.random() < 0.4:
            role_scopes.append("self")
        holder = owner_of(db, owner)
        role = orm.Role(name=f"r{random.random()}", scopes=role_scopes)
        holder.roles = [role]
        db.commit()
        entity = {"user": holder} if owner.startswith("user") else {"service": holder}
        orm_token = orm.APIToken(oauth_client=client_of(db, client), scopes=stored, **entity)
        orm_token.client_id = client
        db.add(orm_token)
        db.commit()
        token.append({"roles": role_scopes, "stored": stored, "owner": owner, "client": client,
                      "rights": sorted(scopes.get_scopes_for(orm_token))})

    request = []
    for _ in range(100 * times):
        client = random.choice(CLIENTS)
        wanted, have = set(some(FILTERS, 3)), set(some(FILTERS, 4)) | random.choice([set(), {"self"}])
        allowed, refused = scopes._resolve_requested_scopes(
            set(wanted), set(have), owner_of(db, "user:alice"), client_of(db, client), db)
        request.append({"wanted": sorted(wanted), "have": sorted(have), "client": client,
                        "allowed": sorted(allowed), "refused": sorted(refused)})
    names = {name: [it["description"], it.get("subscopes", [])] for name, it in scopes.scope_definitions.items()}
    return {"names": names, "groups": GROUPS, "expand": expand, "intersect": intersect, "may": may, "token": token,
            "request": request}


def role_vectors():
    defaults = [[one["name"], one["description"], one["scopes"]] for one in roles.get_default_roles()]
    write("roles", defaults)


# ---------------------------------------------------------------- names

NAMES = [
    "", "alice", "Alice", "a b", " a", "a ", "a/b", ".", "..", "...", "%2e", "%2E%2e", ".a", "a.", "%2e.", "%252e",
    "a@b.org", "a+b", "a~b", "a%b", "a%2Fb", "ünïcode", "日本語", "a\tb", "a\nb", "\u00a0a", "a\u2003", "a\x1f", "\x1ca",
    "a!b", "a*b", "a'b", "(a)", "a:b", "a;b", "a,b", "a?b", "a#b", "a&b=c", "a\\b", 'a"b', "a|b", "<a>", "a`b", "{a}",
    "a[b]", "a^b", "$a", "-a", "_a", "1", "😀", "e\u0301", "İ", "ΑΣ", "ǅ", "ß",
]
SLUGS = [
    "", "a", "a1", "1a", "a-b", "a--b", "-a", "a-", "A", "a_b", "a.b", "é", "a" * 30, "a" * 31, "a b", "my-server-2",
    "a-1-b", "a\nb", "x/y", "a\u00b2",
]
DISPLAYS = [
    "", "a", "My Server", " a", "a ", "a  b", "a\tb", "a\u00a0b", "日本語 サーバ", "e\u0301", "a\u200bb", "😀 GPU", "a\u202eb",
    "x" * 255, "x" * 256, "e\u0301" * 255, "½ ×", "a\u2028b", "\ue000", "<b>&'\"", "ﬁ", "a\u0378",
]


def name_vectors():
    authenticator = auth.NullAuthenticator()
    people = [(user, server) for user in ("alice", "a@b.org", "a b/c", "ü", "a~b", "%41") for server in ("", "gpu", "a b", "x/y@z")]
    client = [[user, server, f"jupyterhub-user-{quote(user)}" + (f"-{quote(server)}" if server else "")]
              for user, server in people]
    prefix = []
    for base, (user, server) in product(("/", "/hub base/", "/a/b/"), people):
        own = utils.url_path_join(base, "user", utils.url_escape_path(user)) + "/"
        path = utils.url_path_join(own, utils.url_escape_path(server), "/") if server else own
        prefix.append([base, user, server, path])
    nfc = slugs.normalise_unicode
    write("names", {
        "user": [[name, authenticator.validate_username(name)] for name in NAMES],
        "slug": [[name, slugs.is_valid_safe_slug(name)] for name in SLUGS if not name.endswith("\n")],
        "display": [[name, nfc(name), slugs.is_valid_display_name(nfc(name))] for name in DISPLAYS],
        "escape": [[name, utils.url_escape_path(name)] for name in NAMES],
        "client": client,
        "prefix": prefix,
        "lower": [[name, authenticator.normalize_username(name)] for name in NAMES],
    })


# ---------------------------------------------------------------- tokens, cookies, secrets

def token_vectors():
    tokens = [(utils.new_token(), 1), ("a-chosen-token", 16384), ("ünïcode-tökén", 3), ("x" * 64, 1), ("y" * 8, 16384)]
    write("tokens", [[token, utils.hash_token(token, rounds=rounds)] for token, rounds in tokens])


def cookie_vectors():
    secret = bytes.fromhex(SECRET)
    values = [("jupyterhub-hub-login", "0123456789abcdef0123456789abcdef"), ("_xsrf", "a:b|c"), ("x", ""),
              ("__Host-jupyterhub-hub-login", "ünï")]
    write("cookies", [{"secret": SECRET, "name": name, "value": value, "time": TIME,
                       "signed": create_signed_value(secret, name, value, version=2, clock=lambda: TIME).decode()}
                      for name, value in values])


def fernet_vectors():
    from cryptography.fernet import Fernet
    keys = ["ab" * 32, base64.urlsafe_b64encode(bytes(range(32))).decode(), "a raw key of exactly 32 bytes..!"]
    rows = []
    for key, state in product(keys, [{"access_token": "secret", "n": 1}, None, {"text": "ünï " * 40}]):
        fernet = Fernet(base64.urlsafe_b64encode(crypto._validate_key(key)))
        text = json.dumps(state)
        rows.append({"key": key, "text": text, "encrypted": fernet.encrypt(text.encode()).decode()})
    write("fernet", rows)


# ---------------------------------------------------------------- forged requests

class Forged(_xsrf_utils.web.HTTPError):
    pass


def asked_for(api, method, mode, site, origin, by_token, known):
    """Runs JupyterHub's own checks on a handler that shows no token."""
    headers = HTTPHeaders()
    for name, value in (("Sec-Fetch-Mode", mode), ("Sec-Fetch-Site", site), ("Origin", "https://x" if origin else None)):
        if value:
            headers[name] = value
    kind = APIHandler if api else BaseHandler
    handler = kind.__new__(kind)
    handler.request = SimpleNamespace(method=method, headers=headers, path="/hub/x")
    handler._jupyterhub_user = SimpleNamespace(name="alice") if known else None
    handler._token_authenticated = by_token
    handler.get_argument = lambda *_: None
    if method in kind._xsrf_safe_methods:
        return False
    try:
        handler.check_xsrf_cookie()
    except _xsrf_utils.web.HTTPError as error:
        assert "missing" in error.log_message
        return True
    return False


def xsrf_vectors():
    rows = []
    modes = [None, "navigate", "cors", "same-origin", "no-cors", "websocket"]
    sites = [None, "same-origin", "same-site", "cross-site", "none"]
    for api, method, mode, site, origin, by_token, known in product(
            (False, True), ("GET", "HEAD", "OPTIONS", "POST", "DELETE"), modes, sites, (False, True), (False, True),
            (False, True)):
        if by_token and not known or site in ("same-site", "none") and method in ("HEAD", "DELETE"):
            continue
        checked = asked_for(api, method, mode, site, origin, by_token, known)
        rows.append([api, method, mode, site, origin, by_token, known, checked])
    write("xsrf_checks", rows)

    tokens = []
    for session, login, address, agent in [
        ("5e55" * 8, "c001" * 8, "10.0.0.1", "Mozilla/5.0"), (None, None, "10.0.0.1", "Mozilla/5.0"),
        ("5e55" * 8, None, "::1", ""), ("x", "y", "1.2.3.4", "ü"),
    ]:
        request = SimpleNamespace(remote_ip=address, headers={"User-Agent": agent})
        user = login or _xsrf_utils._anonymous_xsrf_id(SimpleNamespace(request=request))
        handler = SimpleNamespace(create_signed_value=lambda name, value: create_signed_value(
            bytes.fromhex(SECRET), name, value, version=2, clock=lambda: TIME))
        token = _xsrf_utils._create_signed_value_urlsafe(handler, "_xsrf", f"{session}:{user}".encode())
        tokens.append({"secret": SECRET, "session": session, "login": login, "address": address, "agent": agent,
                       "time": TIME, "token": token.decode()})
    write("xsrf_tokens", tokens)


# ---------------------------------------------------------------- next

NEXT = [
    "", "/", "/hub/home", "/hub/home?x=1#y", "hub/home", "//evil.com", "///evil.com", "////evil.com/x", "https://evil.com",
    "http:evil.com", "http:/evil.com", "http:///evil.com", "javascript:alert(1)", "/\\evil.com", "\\\\evil.com", "\\/evil.com",
    "/javascript:alert(1)", "{o}", "{o}/", "{o}/user/x", "{o}//evil.com", "{o}///evil.com/x?y#z", "{o}?x=1", "{o}#x",
    "{o}@evil.com", "{o}.evil.com", "{o}:80/x", "//{h}", "//{h}/", "//{h}/x?y", "///{h}/x", "//{h}//evil.com", "//{h}@evil.com",
    "//{h}.evil.com/", "https://{h}/x", "ftp://{h}/x", "{o}/?", "{o}/#", "{o}/x?y=http://evil.com", "/x?next=//evil.com",
    "/%2F%2Fevil.com", "/%5Cevil.com", "/x\ty", "/\t/evil.com", "\t//evil.com", " //evil.com", " /x", "/x ", "/x y", "/ü/日本",
    "/user/a%20b/lab?path=ü", "http://alice.{d}/lab", "//alice.{d}//evil.com", "http://{d}/x", "http://evil{d}/x",
    "http://x@alice.{d}/y", "http://evil.com#.{d}", "http://evil.com?.{d}", "http://evil.com/.{d}", "?x=1", "#x", "/?", "/#",
    ".", "./x", "../x", "/../x", "//", "///", "/:80", "/x:y", "a:b", "1:2", "://x", "{O}/x", "/@evil.com", "//@", "//?x", "//#x",
]


def next_vectors():
    rows = []
    sites = [("http", "hub.example", None), ("https", "hub.example:8443", None),
             ("https", "hub.example", "https://hub.example"), ("http", "hub.example:8000", "http://hub.example:8000")]
    for scheme, host, subdomain in sites:
        domain = host
        for text in NEXT:
            text = text.replace("{o}", f"{scheme}://{host}").replace("{O}", f"{scheme.upper()}://{host.upper()}")
            text = text.replace("{h}", host).replace("{d}", domain)
            handler = BaseHandler.__new__(BaseHandler)
            handler.application = SimpleNamespace(settings={
                "public_url": SimpleNamespace(scheme=scheme, netloc=host), "subdomain_host": subdomain or ""})
            expected = handler._validate_next_url(text)
            rows.append({"next": text, "scheme": scheme, "host": host,
                         "subdomains_of": re.sub("^.*//", "", subdomain) if subdomain else None, "expected": expected})
    write("next_url", rows)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        random.seed(int(sys.argv[2]))
        print(json.dumps(scope_vectors(int(sys.argv[1]))))
        sys.exit()
    write("scopes", scope_vectors())
    role_vectors()
    name_vectors()
    token_vectors()
    cookie_vectors()
    fernet_vectors()
    xsrf_vectors()
    next_vectors()
