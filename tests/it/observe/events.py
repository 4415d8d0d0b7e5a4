"""Checks lines of events with the real jupyter_events and JupyterHub's schema; tells what they say as JSON."""

import io
import json
import logging
import pathlib
import sys

import jupyterhub
from jupyter_events import EventLogger
from jupyter_events.schema import EventSchema

path = pathlib.Path(jupyterhub.__file__).parent / "event-schemas" / "server-actions" / "v1.yaml"
schema = EventSchema(path)

# What the real library writes around an event.
stream = io.StringIO()
logger = EventLogger(handlers=[logging.StreamHandler(stream)])
logger.register_event_schema(path)
logger.emit(schema_id=schema.id, data={"action": "start", "username": "x", "servername": ""})
real = json.loads(stream.getvalue())

told = []
for line in sys.stdin:
    event = json.loads(line)
    assert event.keys() == real.keys(), (event, real)
    for name in ("__schema__", "__schema_version__", "__metadata_version__"):
        assert event[name] == real[name] and type(event[name]) is type(real[name]), (name, event, real)
    assert event["__timestamp__"].endswith("Z"), event
    data = {name: value for name, value in event.items() if not name.startswith("__")}
    schema.validate(data)
    told.append([data["action"], data["username"], data["servername"]])
json.dump(told, sys.stdout)
