"""Specola with 100 000 people in its database: how long a request takes while others change rows."""

import http.cookiejar
import json
import os
import random
import re
import sqlite3
import statistics
import threading
import time
import urllib.parse
import urllib.request

from . import hubs, machine

PEOPLE, GROUPS, TOKENS = 100_000, 300, 5_000
SECONDS = 10
# Requests a second: users one at a time, pages of 200, checks of a token (as labs and services make them).
RATES = {"one of the users": 500, "a page of users": 50, "a token check": 500}
CONNECTIONS, CHANGES = 16, 20
# What the admin panel is asked for, by one browser; each is asked so often.
PANEL = {
    "the first page": "",
    "the last page": f"offset={PEOPLE - 50}",
    "newest first": "sort=-created",
    "a search": "q=042",
    "a group": "group=project-042",
    "running": "running=1",
    "administrators": "admins=1",
    "failed, latest first": "failed=1&sort=-last_activity",
}
ASKED = 20


def token_of(number):
    """As random as one the hub makes: it is found by its first four characters."""
    return random.Random(number).randbytes(16).hex()


def make_database(path):
    """Grows the database of the other measurement, by SQL: JupyterHub's own objects would take minutes."""
    from jupyterhub.utils import hash_token

    hubs.make_database(path)
    database = sqlite3.connect(path)
    run = database.executemany
    (of_user,) = database.execute("SELECT id FROM roles WHERE name = 'user'").fetchone()
    first, first_group = 10_000, 1_000
    people = range(PEOPLE - hubs.PEOPLE - 1)
    run("INSERT INTO groups (id, name, properties) VALUES (?, ?, '{}')",
        ((first_group + number, f"project-{number:03}") for number in range(GROUPS)))
    run("INSERT INTO users (id, name, admin, created, last_activity, cookie_id, user_info)"
        " VALUES (?, ?, 0, '2026-01-01 00:00:00.000000', ?, ?, '{}')",
        ((first + number, name_of(number), f"2026-02-{number % 28 + 1:02} 12:00:00.000000", f"{number:032x}")
         for number in people))
    run("INSERT INTO user_role_map (user_id, role_id, managed_by_auth) VALUES (?, ?, 0)", ((first + number, of_user) for number in people))
    run("INSERT INTO user_group_map (user_id, group_id) VALUES (?, ?)",
        ((first + number, first_group + (number + step) % GROUPS) for number in people for step in (0, 17)))
    run("INSERT INTO spawners (user_id, name, state, user_options, last_activity)"
        " VALUES (?, '', '{}', '{}', '2026-02-01 12:00:00.000000')",
        ((first + number,) for number in people if number % 5 == 0))
    run("INSERT INTO api_tokens (user_id, hashed, prefix, client_id, created, last_activity, note, scopes)"
        " VALUES (?, ?, ?, 'jupyterhub', '2026-01-01 00:00:00.000000', '2026-02-01 00:00:00.000000', 'script', '[\"inherit\"]')",
        ((first + number, hash_token(token_of(number), rounds=1, salt=8), token_of(number)[:4])
         for number in range(TOKENS)))
    database.commit()
    database.close()


def name_of(number):
    return f"somebody-{number:06}"


def requests(kind, chance):
    """Some thousand requests of a kind, each a path and a token."""
    if kind == "a token check":
        return [("/hub/api/user", token_of(chance.randrange(TOKENS))) for _ in range(10_000)]
    if kind == "a page of users":
        return [(f"/hub/api/users?limit=200&offset={chance.randrange(PEOPLE - 200)}", hubs.TOKEN) for _ in range(1000)]
    last = PEOPLE - hubs.PEOPLE - 1
    return [(f"/hub/api/users/{name_of(chance.randrange(last))}", hubs.TOKEN) for _ in range(10_000)]


class Changes(threading.Thread):
    """Changes rows at a steady pace, so that nothing is answered from memory for long."""

    def __init__(self, api):
        super().__init__(daemon=True)
        self.api, self.done, self.made = api, threading.Event(), 0

    def run(self):
        chance = random.Random(1)
        while not self.done.wait(1 / CHANGES):
            name = urllib.parse.quote(name_of(chance.randrange(PEOPLE - hubs.PEOPLE - 1)))
            body = json.dumps({"last_activity": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}).encode()
            machine.get(f"{self.api}/users/{name}/activity", hubs.HEADERS, "POST", body)
            self.made += 1


def panel(url):
    """Milliseconds of pages of the admin panel, by what is asked for, seen by one browser."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    form = browser.open(f"{url}/hub/login").read().decode()
    xsrf = re.search('name="_xsrf" value="([^"]*)"', form)[1]
    fields = {"_xsrf": xsrf, "username": "admin", "password": "any"}
    browser.open(f"{url}/hub/login", urllib.parse.urlencode(fields).encode()).read()
    found = {}
    for name, query in PANEL.items():
        took = []
        for _ in range(ASKED):
            begun = time.monotonic()
            page = browser.open(f"{url}/hub/admin?{query}").read().decode()
            took.append((time.monotonic() - begun) * 1000)
            assert 'id="people"' in page, page[:500]
        found[name] = (statistics.median(took), max(took), len(page))
    return found


def measure(root):
    """Times in microseconds by kind of request, and how many rows were changed meanwhile."""
    database = os.path.join(root, "database.sqlite")
    make_database(database)
    folder = os.path.join(root, "hub")
    os.mkdir(folder)
    hub = hubs.Specola(folder, database)
    found, chance = {}, random.Random(2)
    with hubs.started(hub) as (_, took):
        url = f"http://127.0.0.1:{hub.hub_port}"
        total = json.loads(machine.get(f"{url}/hub/api/users?limit=1", hubs.PAGE))["_pagination"]["total"]
        assert total == PEOPLE, total
        changes = Changes(f"{url}/hub/api")
        changes.start()
        for kind, rate in RATES.items():
            file = os.path.join(root, "requests")
            with open(file, "w") as out:
                out.writelines(f"{path} {token}\n" for path, token in requests(kind, chance))
            found[kind] = {"rate": rate} | machine.steady(url, rate, CONNECTIONS, SECONDS, file)
        pages = panel(url)
        changes.done.set()
        changes.join()
    return found, pages, took, changes.made


def report(root):
    found, pages, took, made = measure(root)
    print(f"\nSpecola on SQLite, {PEOPLE:,} people; {made} rows changed meanwhile; first answer after {took:.2f} s.")
    print(f"{'':<46} {'a second':>12} {'median, ms':>12} {'p99, ms':>9} {'longest, ms':>12}")
    for kind, row in found.items():
        median, p99, longest = (row[name] / 1000 for name in ("median", "p99", "longest"))
        print(f"{kind:<46} {row['rate']:>12} {median:>12.2f} {p99:>9.2f} {longest:>12.2f}")
    print(f"{'the admin panel, one browser':<46} {'':>12} {'median, ms':>12} {'':>9} {'longest, ms':>12}")
    for name, (median, longest, _) in pages.items():
        print(f"  {name:<44} {'':>12} {median:>12.2f} {'':>9} {longest:>12.2f}")
