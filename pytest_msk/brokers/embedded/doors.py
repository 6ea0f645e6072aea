"""The listeners of one embedded broker: each a door with a lock of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

from pytest_msk.brokers.auth.logins import TLS_LISTENERS, Logins, Mechanisms
from pytest_msk.brokers.auth.sasl import SaslSession
from pytest_msk.brokers.auth.scram import SCRAM_SHA_512
from pytest_msk.brokers.embedded.dispatch import Dispatcher
from pytest_msk.brokers.embedded.listener import Listener
from pytest_msk.brokers.embedded.sasl import Sasl
from pytest_msk.spec import CLIENT_LISTENERS, ClusterSpec
from pytest_msk.spec import Listener as ListenerName

if TYPE_CHECKING:
    import ssl

    from pytest_msk.brokers.auth.scram import Credential
    from pytest_msk.brokers.embedded.cluster import Broker
    from pytest_msk.brokers.embedded.connection import Connection, Serve
    from pytest_msk.brokers.embedded.faults import Faults
    from pytest_msk.brokers.embedded.journal import Journal

_REAUTHENTICATION = "connections.max.reauth.ms"


def names(spec: ClusterSpec) -> list[ListenerName]:
    """The listeners that a broker has; ``internal``, for ourselves, is always one."""
    return ["internal", *(name for name in CLIENT_LISTENERS if name in spec.listeners)]


class Doors:
    """The listeners of one broker. Not open at first.

    Args:
        broker: whose they are.
        logins: what clients prove themselves with.
        journal: takes down what is asked, and who is refused.
        faults: what goes wrong.
    """

    def __init__(self, broker: Broker, logins: Logins, journal: Journal, faults: Faults) -> None:
        self._broker = broker
        self._logins = logins
        self._journal = journal
        self._faults = faults
        self._listeners: dict[ListenerName, Listener] = {}
        self._names: frozenset[ListenerName] = frozenset()
        self._asking: tuple[ClusterSpec, ssl.SSLContext] | None = None

    def add(self, spec: ClusterSpec) -> None:
        """Have the listeners of a spec too; the ports of those that were there once are taken already.

        Raises:
            OSError: there is no port; those that were there before stay, and no other.
        """
        made: dict[ListenerName, Listener] = {}
        try:
            for name in names(spec):
                if name not in self._listeners:
                    made[name] = self._listener(name)
        except OSError:
            for listener in made.values():
                listener.release()
            raise
        self._listeners.update(made)
        self._have({*self._names, *names(spec)})

    def keep(self, spec: ClusterSpec) -> None:
        """Have no listener any more but those of a spec; the others' ports stay taken."""
        for name in self._names.difference(names(spec)):
            self._listeners[name].close(graceful=False)
        self._have(self._names.intersection(names(spec)))

    def open(self) -> None:
        """Let clients in.

        Raises:
            OSError: a port is not ours any more. Those that were open before are so then, and no other.
        """
        shut = [self._listeners[name] for name in self._names if not self._listeners[name].is_open]
        try:
            for listener in shut:
                listener.open()
        except OSError:
            for listener in shut:
                listener.close(graceful=False)
            raise

    def close(self, *, graceful: bool = True) -> None:
        """Let nobody in, and end the connections, as `Listener.close` says."""
        for listener in self._listeners.values():
            listener.close(graceful=graceful)

    def release(self) -> None:
        """Give the ports back."""
        for listener in self._listeners.values():
            listener.release()

    def _have(self, wanted: Collection[ListenerName]) -> None:
        self._names = frozenset(wanted)
        self._broker.endpoints = {
            name: listener.endpoint for name, listener in self._listeners.items() if name in wanted
        }

    def _listener(self, name: ListenerName) -> Listener:
        serve: Serve = Dispatcher(self._broker, name, self._journal, self._faults).serve

        def refused(connection: Connection, why: str) -> None:
            cluster = self._broker.cluster
            text = f"{connection.host} is not let in by listener {name}: {why}"
            self._journal.refuse(self._broker.id, cluster.clock.now_ms(), text)

        session: Callable[[], SaslSession] | None = None
        if name in ("scram", "iam"):
            serve = Sasl(serve, refused, self._journal.fail_later).serve
            session = partial(self._session, self._mechanisms(name))
        context = partial(self._context, name) if name in TLS_LISTENERS else None
        return Listener(serve, session, context, refused)

    def _mechanisms(self, name: ListenerName) -> Mechanisms:
        if name == "scram":
            return self._logins.scram(self._credential)
        return self._logins.iam(self._broker.cluster.clock)

    def _session(self, mechanisms: Mechanisms) -> SaslSession:
        cluster = self._broker.cluster
        return SaslSession(mechanisms, cluster.clock, max_reauth_ms=cluster.setting(_REAUTHENTICATION))

    def _credential(self, user: str) -> Credential | None:
        return self._broker.cluster.scram_credentials.get(user, SCRAM_SHA_512)

    def _context(self, name: ListenerName) -> ssl.SSLContext:
        """Made when the first client comes, and again after the cluster has become another."""
        keys, spec = self._logins.keys, self._broker.cluster.spec
        if name != "tls":
            return keys.plain_context
        if self._asking is None or self._asking[0] != spec:
            self._asking = spec, keys.context(spec)
        return self._asking[1]
