"""Databases of JupyterHub 4 and 5, and what JupyterHub 6.1 makes of them: a part by name, databases by URL, JSON on
standard output. `fill` runs in the older JupyterHub, the others in that of today."""

import json
import os
import subprocess
import sys

from exchange import describe, with_driver
from jupyterhub import dbutil, orm, roles
from sqlalchemy import create_engine, inspect, text


def fill(url):
    """A database as the older JupyterHub makes it, with something in every table."""
    db = orm.new_session_factory(url)()
    db.add(orm.OAuthClient(identifier="jupyterhub", secret="", redirect_uri="", description="JupyterHub"))
    for role in roles.get_default_roles():
        roles.create_role(db, role)
    roles.create_role(db, {"name": "via-group", "scopes": ["read:users"]})
    ann = orm.User(name="ann", admin=True, encrypted_auth_state=b"\x00secret\xff", state={"x": "ü"})
    bob = orm.User(name="bob")
    staff = orm.Group(name="staff", users=[ann, bob])
    db.add_all([ann, bob, staff])
    cull = orm.Service(name="cull", admin=True)
    db.add(cull)
    db.commit()
    for user in (ann, bob):
        roles.assign_default_roles(db, user)
    roles.grant_role(db, staff, rolename="via-group")
    roles.grant_role(db, cull, rolename="via-group")
    client = orm.OAuthClient(identifier="jupyterhub-user-ann-lab", secret="x", redirect_uri="/oauth_callback")
    db.add(client)
    server = orm.Server(proto="https", ip="127.0.0.1", port=6000, base_url="/user/ann/lab/")
    lab = orm.Spawner(user=ann, name="lab", server=server, state={"pid": 9}, user_options={"image": "i"})
    db.add_all([lab, orm.Spawner(user=bob, name="")])
    lab.oauth_client_id = client.identifier
    db.commit()
    ann.new_api_token("token-of-ann-0123456789", note="kept")
    cull.new_api_token("token-of-cull-0123456789")
    db.add(orm.OAuthCode(client_id=client.identifier, code="c", expires_at=2_000_000_000, user=ann, scopes=["self"]))
    if hasattr(orm, "Share"):
        orm.Share.grant(db, lab, bob)
        orm.ShareCode.new(db, lab, scopes=["access:servers!server=ann/lab"])
    db.commit()
    return None


def upgrade(url):
    """What `jupyterhub upgrade-db` does, and the tables that the start after it adds."""
    os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    # What alembic says goes where errors go.
    dbutil.check_call = lambda command: subprocess.check_call(command, stdout=sys.stderr)
    dbutil.upgrade(url)
    orm.new_session_factory(url)().close()
    return None


def plain(row):
    """A row in words that do not depend on the driver."""
    return repr({name: bytes(value) if isinstance(value, memoryview) else value for name, value in row.items()})


def content(url):
    """Tables and rows of all that is not Specola's."""
    engine = create_engine(url)
    inspector = inspect(engine)
    tables = {}
    with engine.connect() as connection:
        for table in inspector.get_table_names():
            if table.startswith("specola_"):
                continue
            rows = connection.execute(text(f"SELECT * FROM {table}")).mappings()
            tables[table] = [describe(inspector, table), sorted(plain(row) for row in rows)]
    return tables


part = {"fill": fill, "upgrade": upgrade, "content": content}[sys.argv[1]]
print(json.dumps([part(with_driver(url)) for url in sys.argv[2:]]))
