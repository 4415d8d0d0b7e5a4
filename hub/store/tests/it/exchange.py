"""JupyterHub's side of the exchange of databases: a part by name, a database by URL, JSON on standard output."""

import json
import sys
from datetime import timezone
from importlib.util import find_spec

from jupyterhub import orm, roles, scopes
from sqlalchemy import create_engine, inspect


def with_driver(url):
    """SQLAlchemy 2.0 and 2.1 disagree on the driver for a bare postgresql://."""
    driver = "psycopg2" if find_spec("psycopg2") else "psycopg"
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)


def session(url):
    # Checks the revision, and creates nothing where all tables are there.
    return orm.new_session_factory(url)()


def create(url):
    """A database as JupyterHub makes it, with something in every place that we read."""
    db = session(url)
    db.add(orm.OAuthClient(identifier="jupyterhub", secret="", redirect_uri="", description="JupyterHub"))
    for role in roles.get_default_roles():
        roles.create_role(db, role)
    roles.create_role(db, {"name": "via-group", "scopes": ["read:users"]})
    ann = orm.User(name="ann", admin=True, user_info={"x": "ü"}, encrypted_auth_state=b"\x00secret\xff")
    staff = orm.Group(name="staff", users=[ann])
    db.add_all([ann, staff])
    db.commit()
    roles.assign_default_roles(db, ann)
    roles.grant_role(db, staff, rolename="via-group")
    server = orm.Server(ip="127.0.0.1", port=6000, base_url="/user/ann/lab/")
    db.add(orm.Spawner(user=ann, name="lab", server=server, state={"pid": 9}, user_options={"image": "i"}))
    db.add(orm.Service(name="cull", command=["run"]))
    db.commit()
    ann.new_api_token("token-of-ann-0123456789")
    token = orm.APIToken.find(db, "token-of-ann-0123456789")
    created = ann.created.replace(tzinfo=timezone.utc).isoformat().replace("+00:00", "Z")
    return {"created": created, "hashed": token.hashed}


def describe(inspector, table):
    """All that SQLAlchemy can see of a table, but for indexes of ours."""
    columns = {c["name"]: [str(c["type"]), c["nullable"], c["default"]] for c in inspector.get_columns(table)}
    key = inspector.get_pk_constraint(table)
    foreign = sorted(
        [f["name"], f["constrained_columns"], f["referred_table"], f["referred_columns"], f["options"]]
        for f in inspector.get_foreign_keys(table)
    )
    unique = sorted([u["name"], u["column_names"]] for u in inspector.get_unique_constraints(table))
    indexes = sorted(
        [i["name"], i["column_names"], bool(i["unique"])]
        for i in inspector.get_indexes(table)
        if not i["name"].startswith("specola_")
    )
    checks = sorted([str(c["name"]), c["sqltext"]] for c in inspector.get_check_constraints(table))
    order = [c["name"] for c in inspector.get_columns(table)]
    return [order, columns, [key["name"], key["constrained_columns"]], foreign, unique, indexes, checks]


def inspect_tables(url):
    inspector = inspect(create_engine(url))
    return {table: describe(inspector, table) for table in inspector.get_table_names()}


def read(url):
    """Reads everything through JupyterHub's classes, then does some of JupyterHub's work."""
    db = session(url)
    for mapper in orm.Base.registry.mappers:
        db.query(mapper.class_).all()
    users = [
        [
            user.name,
            user.admin,
            user.created.isoformat(),
            sorted(role.name for role in user.roles),
            [group.name for group in user.groups],
            user.user_info,
            len(user.api_tokens),
        ]
        for user in db.query(orm.User).order_by(orm.User.id)
    ]
    running = db.query(orm.Spawner).filter(orm.Spawner.server != None).all()
    servers = [
        [s.name, f"{s.server.proto}://{s.server.ip}:{s.server.port}", s.started.isoformat(), s.state, s.oauth_client_id]
        for s in running
    ]
    codes = [[code.code, code.expires_at, code.scopes] for code in db.query(orm.OAuthCode)]
    clients = [client.identifier for client in db.query(orm.OAuthClient).order_by(orm.OAuthClient.id)]
    # A stop as `User.stop` does it, a token, and the end of a user.
    for spawner in running:
        spawner.server = None
        spawner.started = None
        db.delete(spawner.oauth_client)
    db.commit()
    orm.User.find(db, "ann").new_api_token(note="made by JupyterHub")
    db.delete(orm.User.find(db, "bea"))
    db.commit()
    return {"users": users, "servers": servers, "codes": codes, "clients": clients}


def survived(url):
    """What JupyterHub made, after we had the database."""
    db = session(url)
    return {
        "users": [user.name for user in db.query(orm.User)],
        "spawners": [spawner.name for spawner in db.query(orm.Spawner)],
        "running": db.query(orm.Spawner).filter(orm.Spawner.server != None).count(),
        "token": orm.APIToken.find(db, "token-of-ann-0123456789") is not None,
    }


def share(url):
    """Ann shares her server with bob, with his group, and by a code."""
    db = session(url)
    bob = orm.User(name="bob")
    server = orm.Spawner(user=orm.User(name="ann"), name="")
    staff = orm.Group(name="staff", users=[bob])
    db.add_all([server, staff, bob])
    db.commit()
    orm.Share.grant(db, server, bob, scopes=["read:servers!server=ann/"])
    orm.Share.grant(db, server, staff)
    return {"code": orm.ShareCode.new(db, server, scopes=["access:servers"])[1]}


def shared(url):
    """What became of it in our hands, as JupyterHub's rights see it."""
    db = session(url)
    bob = orm.User.find(db, "bob")
    code = db.query(orm.ShareCode).one()
    found = [code.exchange_count, code.last_exchanged_at.isoformat(), code.scopes]
    shares = sorted([share.kind, share.scopes] for share in map(with_kind, db.query(orm.Share)))
    rights = sorted(scope for scope in scopes.get_scopes_for(bob) if "server=" in scope)
    return {"code": found, "shares": shares, "rights": rights}


def with_kind(share):
    share.kind = "group" if share.group else "user"
    return share


PARTS = {
    "create": create,
    "inspect": inspect_tables,
    "read": read,
    "share": share,
    "shared": shared,
    "survived": survived,
}

if __name__ == "__main__":
    part = PARTS[sys.argv[1]]
    print(json.dumps(part(with_driver(sys.argv[2]))))
