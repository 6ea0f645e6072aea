"""What a pytest run does with MSK: which test is patched, and which lease it holds.

The brokers of a session cluster live as long as the session; boto3 is patched only while a test that
asks for MSK runs. ``msk_cluster`` is one session fixture whose value depends on the test: before each
test that uses it, a lease that does not fit is ended, together with every fixture built on it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_msk.errors import MskUsageError
from pytest_msk.marker import ClusterRequest, check_arguments, cluster_request
from pytest_msk.settings import Scope, Settings
from pytest_msk.usage import (
    CLUSTER_FIXTURE,
    MARKER,
    fixture_names,
    item_key,
    session_key,
    settings_key,
    uses_msk,
)

if TYPE_CHECKING:
    from pytest_msk.aws.kafka.state import Attached
    from pytest_msk.brokers.baseline import Baseline
    from pytest_msk.cluster import MskCluster
    from pytest_msk.pool import Lease
    from pytest_msk.runtime import Runtime

Wanted = tuple[ClusterRequest, pytest.Item | pytest.Collector]


def msk_session(config: pytest.Config) -> MskSession:
    """The MSK of a run, made when first asked for."""
    if session_key not in config.stash:
        config.stash[session_key] = MskSession(config.stash[settings_key], config.stash.get(item_key, None))
    return config.stash[session_key]


def marked_request(item: pytest.Item, settings: Settings) -> ClusterRequest:
    """What a test's markers ask for, the nearest one first, argument by argument.

    Raises:
        MskUsageError: an argument is unknown or not allowed; names the marker.
    """
    merged: dict[str, Any] = {}
    for marker in item.iter_markers(MARKER):
        try:
            merged = check_arguments(marker.args, marker.kwargs) | merged
        except MskUsageError as error:
            raise MskUsageError(f"@pytest.mark.{MARKER}: {error}") from None
    parameter = _parameter(item)
    return cluster_request(merged | check_arguments((), parameter), settings)


def _parameter(item: pytest.Item) -> Mapping[str, Any]:
    """The marker's arguments that a user's own indirect parametrization of msk_cluster gives."""
    callspec = getattr(item, "callspec", None)
    parameter = callspec.params.get(CLUSTER_FIXTURE, {}) if callspec else {}
    return parameter if isinstance(parameter, Mapping) else {}


def owner(item: pytest.Item, scope: Scope) -> pytest.Item | pytest.Collector:
    """The node with whose end a cluster of that scope ends."""
    nodes: Mapping[Scope, pytest.Item | pytest.Collector | None] = {
        "session": item.session,
        "module": item.getparent(pytest.Module),
        "class": item.getparent(pytest.Class) or item.getparent(pytest.Module),
        "function": item,
    }
    return nodes[scope] or item.session


class MskSession:
    """The MSK of one pytest run."""

    def __init__(self, settings: Settings, item: pytest.Item | None) -> None:
        self.settings = settings
        self._runtime: Runtime | None = None
        self._item = item
        self._patched = False
        self._wanted: Wanted | None = None
        self._cluster: Lease | None = None
        self._finish: Callable[[], object] | None = None
        self._marked = False
        self._baselines: dict[str, Baseline] = {}
        self._attached: dict[str, Attached] = {}
        self._end = ExitStack()

    @property
    def runtime(self) -> Runtime:
        """Everything that runs, made when the first test asks for it."""
        if self._runtime is None:
            from pytest_msk.runtime import Runtime

            self._runtime = Runtime(self.settings)
            _end_on_sigterm(self._end)
            self._end.callback(self._runtime.close)
        return self._runtime

    def enter(self, item: pytest.Item) -> None:
        """Before a test's set-up."""
        self._item = item
        if not uses_msk(item):
            return
        if self._wanted is not None and CLUSTER_FIXTURE in self._fixtures(item) and not self._fits(item):
            self._end_cluster()
        self.patch()

    def leave(self) -> None:
        """After a test's teardown: what it made through the API goes, and the patch is taken off."""
        self._item = None
        if not self._patched:
            return
        try:
            for lease in self.runtime.pool.leases:
                lease.cluster._start_stopped_brokers()
            for lease in self.runtime.pool.leases:
                lease.cluster._end_test()
            self._restore()
            every = {str(cluster.arn) for cluster in self.runtime.service.clusters()}
            made = every - self.runtime.pool.arns
            if made:
                self.runtime.service.delete(*made)
            self.runtime.service.forget_resources()
        finally:
            self._marked = False
            self._baselines.clear()
            self._attached.clear()
            self._unpatch()

    def mark(self) -> None:
        """Before the first thing that is a test's own: what there is now on shared clusters is to stay."""
        if not self._marked and self._patched:
            self._marked = True
            self._baselines = self._now()
            self._attached = self._attached_now()
            self._begin_test()

    @contextmanager
    def wider(self) -> Iterator[None]:
        """While a fixture of a wider scope is set up: what it makes stays, even if a test began before."""
        if not self._marked:
            yield
            return
        before = self._now()
        for lease in self._isolated():
            lease.cluster._in_test = False
        yield
        self._begin_test()
        self._attached = self._attached_now()
        for arn, after in self._now().items():
            known = self._baselines.get(arn)
            self._baselines[arn] = known.extended(before[arn], after) if known and arn in before else after

    def patch(self) -> None:
        """Patch boto3 for the running test, if it is not."""
        if self._patched or self._item is None:
            return
        backend = marked_request(self._item, self.settings).backend
        self.runtime.service.plane = self.runtime.plane(backend)
        self._show_only(self._fixtures(self._item))
        self.runtime.patch.start()
        self._patched = True

    def _now(self) -> dict[str, Baseline]:
        """What there is on each shared cluster that the running test sees, by ARN."""
        return {lease.arn: lease.brokers.baseline() for lease in self._isolated()}

    def _attached_now(self) -> dict[str, Attached]:
        return {lease.arn: self.runtime.service.cluster(lease.arn).attached for lease in self._isolated()}

    def _isolated(self) -> list[Lease]:
        """The leases on shared clusters that the running test sees."""
        pool = self.runtime.pool
        fixtures = self._fixtures(self._item) if self._item else []
        return [
            lease
            for lease in pool.leases
            if lease.isolated and lease.fixture in fixtures and pool.active(lease.arn)
        ]

    def _begin_test(self) -> None:
        for lease in self._isolated():
            lease.cluster._in_test = True

    def _restore(self) -> None:
        """Remove what the test made on shared clusters."""
        for lease in self.runtime.pool.leases:
            if lease.arn in self._baselines and self.runtime.pool.active(lease.arn):
                lease.brokers.restore(self._baselines.pop(lease.arn))
                if lease.arn in self._attached:
                    self.runtime.service.cluster(lease.arn).attached = self._attached.pop(lease.arn)

    def _unpatch(self) -> None:
        if self._patched:
            self._patched = False
            self.runtime.patch.stop()

    def hold(self, finish: Callable[[], object]) -> None:
        """Remember how pytest ends the present value of ``msk_cluster``."""
        self._finish = finish

    def lease_cluster(self) -> MskCluster:
        """The cluster that the running test's marker asks for."""
        if self._item is None:
            raise MskUsageError(f"{CLUSTER_FIXTURE} was asked for while no test runs.")
        self._wanted = request, node = self._want(self._item)
        if node is not self._item.session:
            node.addfinalizer(lambda: self._end_owner(node))
        self._cluster = self.lease(CLUSTER_FIXTURE, request, node)
        return self._cluster.cluster

    def release_cluster(self) -> None:
        """End the lease of ``msk_cluster``."""
        lease, self._cluster = self._cluster, None
        self._wanted = self._finish = None
        if lease is not None:
            self.release(lease)

    def lease(self, fixture: str, request: ClusterRequest, node: object | None = None) -> Lease:
        """A lease for a fixture, on a cluster of its own or on one that ``node`` shares."""
        self.patch()
        lease = self.runtime.pool.lease(request, fixture, self._use, node)
        self._use(lease.arn)
        if self._marked and lease.isolated:
            self._baselines.setdefault(lease.arn, lease.brokers.baseline())
            self._attached.setdefault(lease.arn, self.runtime.service.cluster(lease.arn).attached)
        return lease

    def lease_arguments(self, fixture: str, arguments: Mapping[str, Any]) -> Lease:
        """A lease on a cluster of a fixture's own, by the marker's arguments."""
        return self.lease(fixture, cluster_request(check_arguments((), arguments), self.settings))

    def release(self, lease: Lease) -> None:
        """End a lease."""
        if self._runtime is not None:
            self._runtime.pool.release(lease)

    def close(self) -> None:
        """End everything. Called more than once it does nothing more.

        It comes within the teardown of the last test, before `leave`.
        """
        try:
            self._unpatch()
        finally:
            self._runtime = None
            self._end.close()

    def logs(self, lines: int) -> list[tuple[str, str]]:
        """Title and tail of the log of each broker that the running test can see."""
        if self._runtime is None or not self._patched:
            return []
        return [
            (f"{cluster.name}, broker {broker_id}: last lines of its log", log)
            for cluster in self._runtime.service.clusters()
            if not cluster.parked
            for broker_id, log in sorted(cluster.brokers.logs(lines).items())
        ]

    def failures(self) -> list[str]:
        """What the brokers that the running test can see could not serve."""
        if self._runtime is None or not self._patched:
            return []
        clusters = self._runtime.service.clusters()
        return [text for cluster in clusters if not cluster.parked for text in cluster.brokers.failures()]

    def _want(self, item: pytest.Item) -> Wanted:
        request = marked_request(item, self.settings)
        return request, owner(item, request.scope)

    def _fits(self, item: pytest.Item) -> bool:
        lost = self._cluster is not None and not self.runtime.pool.serves(self._cluster)
        return not lost and self._want(item) == self._wanted

    def _fixtures(self, item: pytest.Item) -> list[str]:
        """The fixtures that a test may come to use: the marker says that there may be msk_cluster."""
        marked = [CLUSTER_FIXTURE] if item.get_closest_marker(MARKER) else []
        return [*fixture_names(item), *marked]

    def _end_cluster(self) -> None:
        """Have pytest end ``msk_cluster``, first every fixture that is built on it."""
        finish, self._finish, self._wanted = self._finish, None, None
        if finish is not None:
            finish()

    def _end_owner(self, node: object) -> None:
        if self._wanted is not None and self._wanted[1] is node:
            self._end_cluster()
        self.runtime.pool.end(node)

    def _show_only(self, fixtures: list[str]) -> None:
        """Hide the clusters of the pool that a test has no lease on from its API calls."""
        pool = self.runtime.pool
        leased = {lease.arn for lease in pool.leases if lease.fixture in fixtures}
        for cluster in self.runtime.service.clusters():
            cluster.parked = str(cluster.arn) in pool.arns and str(cluster.arn) not in leased

    def _use(self, arn: str) -> None:
        """A test touches a cluster, however it came by it: see that the API is patched and knows it."""
        self.patch()
        if self._item is not None and self.runtime.pool.active(arn):
            self.runtime.service.cluster(arn).parked = False


def _end_on_sigterm(end: ExitStack) -> None:
    """Let SIGTERM end the run as Ctrl-C does, with everything removed, where nobody handles it otherwise."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt("SIGTERM")

    signal.signal(signal.SIGTERM, interrupt)
    end.callback(signal.signal, signal.SIGTERM, signal.SIG_DFL)
