"""Exits with 0 if the server at CHATSTORE_BIND answers /healthz; for containers."""

import os
import socket
import sys

bind = os.environ["CHATSTORE_BIND"]
if bind.startswith("unix:"):
    server = socket.socket(socket.AF_UNIX)
    server.connect(bind.removeprefix("unix:"))
else:
    host, _, port = bind.rpartition(":")
    server = socket.create_connection((host.strip("[]"), int(port)))
with server:
    server.settimeout(5)
    server.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
    sys.exit(b" 200 " not in server.recv(64))
