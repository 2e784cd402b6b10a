"""Loaded by every kernel that runs a chapter for the book or the tests.

It refuses the network, so that a chapter that needs it fails, and writes
down which results and data files the chapter reads, so that the cache
knows when to run it again.
"""
import os
import socket
import sys

_root = os.environ.get("SEGLIB_WATCH_ROOT")
_log = os.environ.get("SEGLIB_WATCH_LOG")
_watched = tuple(os.path.join(_root or "", *part) + os.sep
                 for part in (("book", "results"), ("data",),
                              ("seglib", "static")))
_connect = socket.socket.connect


def _refuse(self, address):
    if (self.family in (socket.AF_INET, socket.AF_INET6)
            and address[0] not in ("127.0.0.1", "::1", "localhost")):
        raise OSError(f"a chapter runs offline; it asked for {address[0]}")
    return _connect(self, address)


def _watch(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        path = os.path.abspath(arguments[0])
        if path.startswith(_watched):
            fd = os.open(_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(fd, (path + "\n").encode())
            os.close(fd)


socket.socket.connect = _refuse
if _root and _log:
    sys.addaudithook(_watch)
