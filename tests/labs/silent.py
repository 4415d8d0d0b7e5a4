"""A lab that takes connections and never answers."""

import os
import socket
from urllib.parse import urlsplit

address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
listener = socket.create_server((address.hostname, address.port))
print("this lab answers nobody", flush=True)
kept = []
while True:
    kept.append(listener.accept())
