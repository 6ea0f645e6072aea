"""A plane for tests: brokers that are nothing but addresses, and start when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from pytest_msk.brokers.auth.keys import ClusterKeys
from pytest_msk.brokers.baseline import Baseline
from pytest_msk.brokers.plane import Broker, Endpoint
from pytest_msk.errors import BrokerStartError, UnsupportedOnPlaneError
from pytest_msk.spec import CLIENT_LISTENERS, ClusterSpec, Listener

PATIENCE = 10
"""Seconds after which a test that waits for something gives up."""


INTERNAL: Listener = "internal"


class FakePlane:
    """Makes `FakeBrokers`.

    Attributes:
        gate: brokers start when it is set.
        opens: the listeners that brokers open, of those that the spec wants.
        spec_gate: `check_spec` returns when it is set.
        spec_error: raised by `check_spec`.
        start_error: raised by the start of brokers.
        apply_gate: brokers change, and restart, when it is set.
        apply_error: raised by a change or a restart of brokers.
        stop_errors: raised by stopping brokers, by cluster name, once each.
        deaf: whether a start goes on although the brokers are told to stop.
        made: all brokers, by cluster name.
    """

    name = "fake"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.spec_gate = threading.Event()
        self.spec_gate.set()
        self.opens: frozenset[Listener] = frozenset(CLIENT_LISTENERS)
        self.spec_error: Exception | None = None
        self.start_error: Exception | None = None
        self.apply_gate = threading.Event()
        self.apply_gate.set()
        self.apply_error: Exception | None = None
        self.stop_errors: dict[str, Exception] = {}
        self.deaf = False
        self.made: dict[str, FakeBrokers] = {}

    def check(self) -> None:
        pass

    def check_spec(self, spec: ClusterSpec) -> None:
        self.spec_gate.wait(PATIENCE)
        if self.spec_error:
            raise self.spec_error

    def brokers(self, spec: ClusterSpec, arn: str) -> FakeBrokers:
        self.made[spec.name] = FakeBrokers(self, spec)
        return self.made[spec.name]

    def close(self) -> None:
        pass


class FakeBrokers:
    """Brokers that are only addresses.

    Attributes:
        applied: the specs that they were to become, oldest first.
        rebooted: the ids of those that were restarted.
        stopped: how often they were stopped.
    """

    network: str | None = None
    endpoints_in_network: Sequence[str] = ()

    def __init__(self, plane: FakePlane, spec: ClusterSpec) -> None:
        self.plane = plane
        self.spec = spec
        self.brokers: Sequence[Broker] = ()
        self.applied: list[ClusterSpec] = []
        self.rebooted: list[int] = []
        self.stopped = 0
        self.starting = threading.Event()
        self._stop = threading.Event()

    @property
    def keys(self) -> ClusterKeys:
        return ClusterKeys(self.spec.name)

    def start(self) -> None:
        self.starting.set()
        while not self.plane.gate.wait(0.005):
            if self._stop.is_set() and not self.plane.deaf:
                raise BrokerStartError("The start was cancelled.")
        if self.plane.start_error:
            raise self.plane.start_error
        self.brokers = [self._broker(number) for number in range(1, self.spec.brokers + 1)]

    def _broker(self, number: int) -> Broker:
        opened = [one for one in CLIENT_LISTENERS if one in self.spec.listeners & self.plane.opens]
        endpoints: dict[Listener, Endpoint] = {
            one: Endpoint("127.0.0.1", port(number, one)) for one in (*opened, INTERNAL)
        }
        return Broker(number, endpoints, self.spec.rack(number))

    def apply(self, spec: ClusterSpec) -> None:
        self.applied.append(spec)
        self._change()
        self.spec = spec
        self.brokers = [self._broker(number) for number in range(1, spec.brokers + 1)]

    def reboot(self, broker_id: int) -> None:
        self.rebooted.append(broker_id)
        self._change()

    def _change(self) -> None:
        while not self.plane.apply_gate.wait(0.005):
            if self._stop.is_set():
                raise BrokerStartError("The change was cancelled.")
        if self.plane.apply_error:
            raise self.plane.apply_error

    def stop_broker(self, broker_id: int, *, graceful: bool = True) -> None:
        raise UnsupportedOnPlaneError("no")

    def start_broker(self, broker_id: int) -> None:
        raise UnsupportedOnPlaneError("no")

    def logs(self, lines: int = 50) -> Mapping[int, str]:
        return {}

    def baseline(self) -> Baseline:
        return Baseline()

    def restore(self, baseline: Baseline) -> None:
        pass

    def failures(self) -> Sequence[str]:
        return ()

    def stop(self) -> None:
        self.stopped += 1
        self._stop.set()
        self.brokers = ()
        error = self.plane.stop_errors.pop(self.spec.name, None)
        if error:
            raise error


def port(broker: int, listener: str) -> int:
    """The port of a fake broker's listener."""
    listeners: list[str] = [*CLIENT_LISTENERS, INTERNAL]
    return 10000 * broker + listeners.index(listener)
