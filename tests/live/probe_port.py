#!/usr/bin/python3 -B
"""Talks to a peer port as somebody who does not hold the secret; fails if it gets an answer.

usage: probe_port.py ADDRESS PORT
"""

import socket
import ssl
import sys

SILENCE_S = 5
ALERT = 21  # TLS record type: all that a stranger may be told is that he failed


def tls(maximum=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if maximum:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = maximum
    return context


def raw(address, payload):
    """The bytes that come back on a plain connection."""
    with socket.create_connection(address, SILENCE_S) as stream:
        stream.settimeout(SILENCE_S)
        try:
            stream.sendall(payload)
            return stream.recv(4096)
        except (ConnectionError, socket.timeout):
            return b""


def handshake(address, context):
    """The data that come back over TLS; None when no session came about."""
    with socket.create_connection(address, SILENCE_S) as stream:
        stream.settimeout(SILENCE_S)
        try:
            with context.wrap_socket(stream) as session:
                session.sendall(b"\0" * 64)
                return session.recv(4096)
        except (ssl.SSLError, ConnectionError, socket.timeout):
            return None


def main():
    address = (sys.argv[1], int(sys.argv[2]))
    for payload in (b"\0" * 64, b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\xff" * 512):
        answer = raw(address, payload)
        if answer and answer[0] != ALERT:
            sys.exit(f"raw bytes were answered: {answer[:40]!r}")
    for name, context in (("TLS 1.2", tls(ssl.TLSVersion.TLSv1_2)), ("TLS 1.3 without the secret", tls())):
        answer = handshake(address, context)
        if answer:
            sys.exit(f"{name} was answered: {answer[:40]!r}")
    print("silent")


if __name__ == "__main__":
    main()
