"""A wire between the server and its tenant on which everything is heard: how a test learns secrets made on the way."""

import base64
import re
import socket
import threading
import urllib.parse


class Wiretap:
    """Forwards a loopback port to another and keeps all bytes of both directions."""

    def __init__(self, url):
        host, port = url.removeprefix("http://").split(":")
        self.target = (host, int(port))
        self.bytes = bytearray()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            there = socket.create_connection(self.target)
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source, sink):
        try:
            while chunk := source.recv(65536):
                self.bytes += chunk
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, sink):
                end.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def heard(self, pattern):
        """Every value that a pattern's one group caught; at least one."""
        found = {m.decode() for m in re.findall(pattern.encode(), bytes(self.bytes))}
        assert found, f"nothing on the wire matches {pattern}"
        return found


def disguises(secret):
    """A secret as it could leak: raw, base64 at any alignment, URL-encoded, hexadecimal, reversed, halves reversed."""
    raw = secret if isinstance(secret, bytes) else secret.encode()
    forms = {raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode(), urllib.parse.quote(raw, safe="").encode()}
    half = len(raw) // 2
    forms |= {raw[half:][::-1], raw[:half][::-1]} if len(raw) >= 24 else set()
    for shift in range(3):  # what stands before it moves it within a base64 text
        encoded = base64.b64encode(b"\0" * shift + raw)
        inner = encoded[4 if shift else 0 : len(encoded) - 4]
        forms |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))} if len(inner) >= 8 else set()
    return {form for form in forms if len(form) >= 8}


def leaks(secrets, places):
    """Where which secret is found: `secrets` by name, `places` by name with their bytes."""
    return sorted(
        f"{name} in {place}"
        for name, secret in secrets.items()
        for form in disguises(secret)
        for place, content in places.items()
        if form in content
    )
