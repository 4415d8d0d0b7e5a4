"""A lab that answers with bytes that are no HTTP."""

import os
import socket
from urllib.parse import urlsplit

address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
listener = socket.create_server((address.hostname, address.port))
print("this lab talks nonsense", flush=True)
while True:
    peer, _ = listener.accept()
    peer.sendall(b"\x00\xff<script>alert(1)</script>\r\n\r\n" * 3)
    peer.close()
