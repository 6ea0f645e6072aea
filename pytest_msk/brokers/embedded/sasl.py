"""SASL in front of a listener's dispatcher."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable

from pytest_msk.brokers.embedded.api import ANONYMOUS, CloseConnection
from pytest_msk.brokers.embedded.connection import Connection, Reply, Serve


class Sasl:
    """Serves nobody before they have said who they are.

    Args:
        serve: answers the frames of those who have.
        refused: called with a connection that is to be closed, and the reason.
        failed: called with the traceback of what is our own fault.
    """

    def __init__(
        self,
        serve: Serve,
        refused: Callable[[Connection, str], object],
        failed: Callable[[str], object],
    ) -> None:
        self._serve = serve
        self._refused = refused
        self._failed = failed

    def serve(self, connection: Connection, frame: memoryview) -> Reply | Awaitable[Reply]:
        """Answer one frame of a connection that has a session.

        Raises:
            CloseConnection: the client is not let in.
        """
        session = connection.session
        assert session is not None  # noqa: S101
        try:
            answer = session.receive(frame)
        except Exception as error:
            self._failed(traceback.format_exc())
            raise CloseConnection("internal error") from error
        if answer is None:
            connection.principal = session.principal or ANONYMOUS
            return self._serve(connection, frame)
        if answer.closes:
            self._refused(connection, answer.closes)
            raise CloseConnection(answer.closes, answer.frame)
        return answer.frame or None
