"""From a frame to its answer: what every request goes through, whichever API it is of."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Awaitable, Mapping
from types import MappingProxyType

from pytest_msk.brokers.embedded import names
from pytest_msk.brokers.embedded.api import SERVED, Answer, CloseConnection, Peer, Request
from pytest_msk.brokers.embedded.cluster import Broker
from pytest_msk.brokers.embedded.connection import Connection, Reply
from pytest_msk.brokers.embedded.faults import Faults
from pytest_msk.brokers.embedded.journal import Journal
from pytest_msk.brokers.wire import codec, errors, releases
from pytest_msk.brokers.wire.message import Message
from pytest_msk.spec import Listener

_API_VERSIONS = "ApiVersions"


@functools.cache
def served_versions(release: tuple[int, ...]) -> Mapping[str, range]:
    """API to the versions that a cluster of a release advertises: Kafka's, as far as they are served here."""
    found = {}
    for api, advertised in releases.advertised(release).items():
        served = SERVED[api].versions if api in SERVED else range(0)
        common = range(max(served.start, advertised.start), min(served.stop, advertised.stop))
        if common:
            found[api] = common
    return MappingProxyType(found)


class Dispatcher:
    """Serves the frames that come in by one listener of one broker."""

    def __init__(self, broker: Broker, listener: Listener, journal: Journal, faults: Faults) -> None:
        self._broker = broker
        self._listener = listener
        self._journal = journal
        self._faults = faults

    def serve(self, connection: Connection, frame: memoryview) -> Reply | Awaitable[Reply]:
        """Answer one frame, now or later.

        Raises:
            CloseConnection: where Kafka closes the connection in place of an answer.
        """
        try:
            header = codec.decode_request_header(frame)
            api = header.api
            versions = served_versions(self._broker.release)
            if api is None or api not in versions:
                raise CloseConnection(f"API {header.key} is not served")
            if header.version not in versions[api]:
                return self._refuse_version(api, header)
            body = codec.decode_request(api, header.version, header.body)
        except codec.Malformed as error:
            raise CloseConnection(str(error)) from error
        peer = Peer(connection.host, self._listener, connection.principal)
        request = Request(self._broker, api, header.version, header.client_id, body, peer, len(frame))
        names.fill_in(request)
        try:
            answer = self._faults.serve(request, self._handle) if self._faults else self._handle(request)
            if inspect.isawaitable(answer):
                return self._later(request, header.correlation_id, answer)
            return self._reply(request, header.correlation_id, answer)
        except CloseConnection:
            raise
        except Exception as error:
            raise self._failed(request) from error

    def _handle(self, request: Request) -> Answer | Awaitable[Answer]:
        return SERVED[request.api].handler(request)

    async def _later(self, request: Request, correlation_id: int, answer: Awaitable[Answer]) -> Reply:
        try:
            return self._reply(request, correlation_id, await answer)
        except CloseConnection:
            raise
        except Exception as error:
            raise self._failed(request) from error

    def _reply(self, request: Request, correlation_id: int, answer: Answer) -> Reply:
        self._journal.note(request, self._broker.cluster.clock.now_ms())
        if answer is None:
            return None
        return codec.response_frame(request.api, request.version, correlation_id, answer)

    def _failed(self, request: Request) -> CloseConnection:
        """Keep an error for the test that caused it: nobody reads the log of a thread."""
        self._journal.fail(request, traceback.format_exc())
        return CloseConnection("internal error")

    def _refuse_version(self, api: str, header: codec.RequestHeader) -> Reply:
        """What a client that is newer than the broker gets: it asks again by the version it is told."""
        if api != _API_VERSIONS:
            raise CloseConnection(f"{api} v{header.version} is not served")
        served = served_versions(self._broker.release)[_API_VERSIONS]
        answer = Message(
            error_code=errors.code("UNSUPPORTED_VERSION"),
            api_keys=[
                Message(
                    api_key=codec.api_key(_API_VERSIONS),
                    min_version=served.start,
                    max_version=served.stop - 1,
                )
            ],
        )
        return codec.response_frame(_API_VERSIONS, 0, header.correlation_id, answer)
