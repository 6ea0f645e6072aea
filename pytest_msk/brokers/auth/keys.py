"""The certificates of one cluster: who signs them, and what its brokers show. Made when first needed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

    from pytest_msk.brokers.auth.certificates import Authority, KeyPair
    from pytest_msk.spec import ClusterSpec


class ClusterKeys:
    """The certificate authority of a cluster, and the certificate of its brokers.

    Neither is made, nor is ``cryptography`` imported, before somebody asks. Where it is sent to another
    process the brokers' certificate goes along, and the authority does not.

    Args:
        name: the cluster's.
        names: DNS names that clients may know the brokers by, besides those of this machine.
    """

    def __init__(self, name: str, names: Sequence[str] = ()) -> None:
        self._name = name
        self._names = tuple(names)
        self._lock = threading.RLock()

    @property
    def authority(self) -> Authority:
        """Who signs the brokers' certificate, and those of clients that are made for a test."""
        with self._lock:
            return self._authority

    @property
    def server(self) -> KeyPair:
        """What the brokers show."""
        with self._lock:
            return self._server

    def context(self, spec: ClusterSpec) -> ssl.SSLContext:
        """TLS as the listener of a cluster for clients without SASL speaks it."""
        from pytest_msk.brokers.auth.certificates import server_context

        asked = spec.client_certificates != "none"
        trusted = [self.server.chain, *(pem.encode() for pem in spec.client_authorities)] if asked else []
        return server_context(self.server, trusted, require=spec.client_certificates == "required")

    @cached_property
    def plain_context(self) -> ssl.SSLContext:
        """TLS that asks clients for no certificate."""
        from pytest_msk.brokers.auth.certificates import server_context

        return server_context(self.server)

    @cached_property
    def _authority(self) -> Authority:
        from pytest_msk.brokers.auth.certificates import Authority

        return Authority.make(self._name)

    @cached_property
    def _server(self) -> KeyPair:
        return self._authority.server(self._names)

    def __getstate__(self) -> dict[str, Any]:
        return {"_name": self._name, "_names": self._names, "_server": self.server}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.RLock())
