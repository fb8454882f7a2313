"""Reads a request from a socket, within a time and a length that no browser exceeds."""

import io
import socket
import time

LONGEST = 65536
"""A request has at most this many bytes. Python's own limit is a hundred lines of so many."""


class Incoming(io.RawIOBase):
    """Reads from a connection. After `seconds` in all it raises `TimeoutError`, however slowly a
    request trickles in, and after `LONGEST` bytes `ConnectionAbortedError`.
    """

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection, self._left = connection, LONGEST
        self._until = time.monotonic() + seconds

    def readable(self) -> bool:
        """Returns that the connection can be read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Reads what has arrived, waits for something, and returns its length, 0 at the end."""
        seconds = self._until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(seconds)
        length = self._connection.recv_into(buffer)
        self._left -= length
        if self._left < 0:
            raise ConnectionAbortedError("the request is too long")
        return length
