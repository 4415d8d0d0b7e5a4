"""What proxies do with bytes that matter, beside how fast they are: the same cases through each, yes or no."""

import base64
import concurrent.futures
import contextlib
import hashlib
import os
import socket
import threading
import time

from . import blocks, peers

PATIENCE = 2
# Seconds of an upload, and its bytes: longer than Node has patience with a whole request, and than until it looks after that.
UPLOAD = 340
# Those whose bytes are looked at.
ALL = [*peers.ALL, *peers.LIBRARIES]
KEY = base64.b64encode(b"0123456789abcdef").decode()
ACCEPT = base64.b64encode(hashlib.sha1((KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


class Upstream:
    """A server that writes down what it gets, and answers by the last part of the path."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.seen = b""
        self.switch = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def read(self, connection):
        piece = connection.recv(65536)
        self.seen += piece
        return piece

    def serve(self, connection):
        with connection, contextlib.suppress(OSError):
            head = b""
            while piece := self.read(connection):
                head += piece
                while b"\r\n\r\n" in head:
                    request, _, head = head.partition(b"\r\n\r\n")
                    self.answer(connection, request)

    def answer(self, connection, request):
        if b"/socket" in request.split(b"\r\n")[0]:
            self.switch.wait(PATIENCE)
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                               b"Sec-WebSocket-Accept: " + ACCEPT.encode() + b"\r\n\r\n")
            # What comes after the end of the other direction.
            while self.read(connection):
                pass
            connection.sendall(b"after the end")
            connection.close()
        elif b"/events" in request.split(b"\r\n")[0]:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                               b"9\r\ndata: 1\n\n\r\n")
        else:
            if b"/upload" in request.split(b"\r\n")[0]:
                while self.seen.partition(b"\r\n\r\n")[2].count(b"x") < UPLOAD and self.read(connection):
                    pass
            connection.sendall(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nSet-Cookie: c=3\r\n"
                               b"Content-Length: 2\r\n\r\nok")

    def close(self):
        self.listener.close()


@contextlib.contextmanager
def sent(port, text):
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(text.encode())
        yield client


def received(client, until=b"", seconds=PATIENCE):
    """What comes, until it ends with something or nothing more comes."""
    found, deadline = b"", time.monotonic() + seconds
    while not (until and found.endswith(until)) and (left := deadline - time.monotonic()) > 0:
        client.settimeout(left)
        try:
            piece = client.recv(65536)
        except OSError:
            break
        if not piece:
            break
        found += piece
    return found


def head(last, *lines, method="GET"):
    return "\r\n".join([f"{method} {peers.PREFIX}{last} HTTP/1.1", "Host: localhost", *lines, "", ""])


def plain(peer, upstream, last, *lines):
    with sent(peer.port, head(last, *lines)) as client:
        return received(client, b"ok")


def three_cookies(peer, upstream):
    return plain(peer, upstream, "cookies").lower().count(b"set-cookie:") == 3


def path_unchanged(peer, upstream):
    plain(peer, upstream, "a%2Fb%20c?d=%2F")
    return f"{peers.PREFIX}a%2Fb%20c?d=%2F".encode() in upstream.seen


def nominated(peer, upstream):
    answer = plain(peer, upstream, "nominated", "Connection: X-Nominated", "X-Nominated: secret")
    return b"secret" not in upstream.seen and answer.endswith(b"ok")


def claims(peer, upstream):
    plain(peer, upstream, "claims", "X-Forwarded-For: 6.6.6.6", "X_Forwarded_For: 6.6.6.6", "X-Real-IP: 6.6.6.6")
    return b"6.6.6.6" not in upstream.seen


def two_lengths(peer, upstream):
    inside = head("smuggled")
    body = f"0\r\n\r\n{inside}"
    text = head("lengths", f"Content-Length: {len(body)}", "Transfer-Encoding: chunked", method="POST") + body
    with sent(peer.port, text) as client:
        received(client, seconds=0.5)
    # As a request after the first, if the length does not go with it.
    return not (b"content-length: " in upstream.seen.lower() and b"transfer-encoding" in upstream.seen.lower())


def event_at_once(peer, upstream):
    with sent(peer.port, head("events")) as client:
        return b"data: 1" in received(client, b"data: 1\n\n\r\n", seconds=0.5)


SOCKET = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}"]


def early_bytes(peer, upstream):
    with sent(peer.port, head("socket", *SOCKET) + "too early") as client:
        time.sleep(0.3)
        early = b"too early" in upstream.seen
        upstream.switch.set()
        return not early and b" 101 " in received(client, seconds=0.3)


def half_close(peer, upstream):
    upstream.switch.set()
    with sent(peer.port, head("socket", *SOCKET)) as client:
        received(client, b"\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        return received(client, b"after the end").endswith(b"after the end")


CASES = {
    "three Set-Cookie lines stay three": three_cookies,
    "path and query pass byte for byte": path_unchanged,
    "what Connection names goes no further": nominated,
    "claims of a stranger are not passed on": claims,
    "length and coding never go on together": two_lengths,
    "an event passes before the next one": event_at_once,
    "nothing passes before the switch to a websocket": early_bytes,
    "half an end leaves the other half open": half_close,
}


def slow_upload(peer, upstream):
    with sent(peer.port, head("upload", f"Content-Length: {UPLOAD}", method="PUT")) as client:
        for _ in range(UPLOAD):
            client.sendall(b"x")
            time.sleep(1)
        return received(client, b"ok").endswith(b"ok")


def holds(folder, make, case):
    """The name of a peer, and whether a case holds with it."""
    upstream = Upstream()
    with contextlib.closing(upstream), blocks.started(make, folder, upstream.port) as (peer, _):
        upstream.seen = b""
        try:
            return peer.name, case(peer, upstream)
        except OSError:
            return peer.name, False


def matrix(folder):
    """By case and peer, whether it holds."""
    with concurrent.futures.ThreadPoolExecutor(len(ALL)) as meanwhile:
        slow = []
        for number, make in enumerate(ALL):
            of_its_own = os.path.join(folder, f"upload-{number}")
            os.mkdir(of_its_own)
            slow.append(meanwhile.submit(holds, of_its_own, make, slow_upload))
        found = {name: dict(holds(folder, make, case) for make in ALL) for name, case in CASES.items()}
        found["an upload of more than five minutes arrives"] = dict(one.result() for one in slow)
    return found
