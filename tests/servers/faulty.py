"""An echo server with one thing wrong: faulty.py FAULT ADDRESS. With the fault `none` it is right."""

import os
import signal
import socket
import sys
import threading
import time

fault, address = sys.argv[1:]
host, port = address.rsplit(":", 1)
SIZE = 16


def receive(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            return None
        data += piece
        if fault == "one-read":
            break
    return data


def serve(connection):
    if fault != "no-nodelay":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        if fault == "ahead":
            first = receive(connection, SIZE // 2)
            if first is None:
                break
            connection.sendall(b"Re:" + first)
            rest = receive(connection, SIZE // 2)
            if rest is None:
                break
            connection.sendall(rest)
            continue
        message = receive(connection, SIZE)
        if message is None:
            break
        if fault == "split":
            connection.sendall(b"Re:")
            time.sleep(0.002)
            connection.sendall(message)
            continue
        prefix = {"prefix": b"RE:", "no-prefix": b""}.get(fault, b"Re:")
        connection.sendall(prefix + message + (b"\n" if fault == "newline" else b""))
    if fault == "half-close":
        time.sleep(3600)
    connection.close()
    if fault == "first-client":
        os._exit(0)


def guarded(connection):
    try:
        serve(connection)
    except OSError:
        if fault == "reset":
            os._exit(1)
        connection.close()


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((host, int(port) + (1 if fault == "elsewhere" else 0)))
listener.listen(4096)
threading.stack_size(256 * 1024)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if fault == "spins":
    listener.setblocking(False)
accepted = 0
while True:
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        continue
    except OSError:
        time.sleep(0.01)
        continue
    connection.setblocking(True)
    accepted += 1
    if fault == "crowd" and threading.active_count() > 900:
        sys.exit("too many connections")
    if fault == "one-at-a-time":
        guarded(connection)
    elif fault == "forks":
        if os.fork() == 0:
            listener.close()
            guarded(connection)
            os._exit(0)
        connection.close()
    else:
        threading.Thread(target=guarded, args=(connection,), daemon=True).start()
