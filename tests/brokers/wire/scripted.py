"""A broker that answers as a test tells it, for what real brokers do not do on demand."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from pytest_msk.brokers.wire import codec
from pytest_msk.brokers.wire.client import Address
from pytest_msk.brokers.wire.message import Message

Answer = Message | bytes | None
Script = Callable[[codec.RequestHeader, Message], Answer]
"""From a request to its answer: a message, raw bytes, or None to hang up."""


@dataclass
class ScriptedBroker:
    """Answers Metadata with itself alone, and everything else by its script.

    Attributes:
        versions: what it advertises.
        requests: what it was asked, in order, as API and version.
        connections: how many were made to it.
    """

    server: socket.socket
    script: Script
    versions: Mapping[str, range]
    requests: list[tuple[str | None, int]] = field(default_factory=list)
    connections: int = 0
    open: list[socket.socket] = field(default_factory=list)

    @property
    def address(self) -> Address:
        host, port = self.server.getsockname()
        return host, port

    @property
    def bootstrap(self) -> str:
        return "{}:{}".format(*self.address)

    def hang_up(self) -> None:
        """Close every connection, as a broker that restarts does."""
        for connection in self.open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        threads = []
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                break
            self.connections += 1
            self.open.append(connection)
            threads.append(threading.Thread(target=self._serve, args=(connection,)))
            threads[-1].start()
        self.hang_up()
        for thread in threads:
            thread.join()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as frames, suppress(OSError):
            while size := frames.read(4):
                frame = frames.read(int.from_bytes(size, "big"))
                answer = self._answer(codec.decode_request_header(memoryview(frame)))
                if answer is None:
                    # The file keeps the socket open until it is closed itself.
                    connection.shutdown(socket.SHUT_RDWR)
                    return
                connection.sendall(answer)

    def _answer(self, header: codec.RequestHeader) -> bytes | None:
        assert header.api is not None
        self.requests.append((header.api, header.version))
        request = codec.decode_request(header.api, header.version, header.body)
        answer = self.script(header, request)
        if answer is None and header.api == "ApiVersions":
            answer = Message(
                api_keys=[
                    Message(api_key=codec.api_key(api), min_version=known[0], max_version=known[-1])
                    for api, known in self.versions.items()
                ]
            )
        elif answer is None and header.api == "Metadata":
            host, port = self.address
            answer = Message(brokers=[Message(node_id=1, host=host, port=port)], controller_id=1)
        if answer is None or isinstance(answer, bytes):
            return answer
        return codec.response_frame(header.api, header.version, header.correlation_id, answer)


VERSIONS = {"ApiVersions": range(5), "Metadata": range(13), "ListGroups": range(6), "Heartbeat": range(5)}


@contextmanager
def scripted(script: Script, versions: Mapping[str, range] | None = None) -> Iterator[ScriptedBroker]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        broker = ScriptedBroker(server, script, versions or VERSIONS)
        thread = threading.Thread(target=broker.serve)
        thread.start()
        try:
            yield broker
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def says(answers: Mapping[str, Answer]) -> Script:
    """A script that answers each API in one way; Metadata and ApiVersions by themselves."""
    return lambda header, _: answers.get(header.api or "")
