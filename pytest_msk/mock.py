"""`mock_msk`: MSK without pytest, in a unittest, a script or a REPL."""

from __future__ import annotations

import functools
import inspect
import unittest
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pytest_msk.marker import check_arguments, cluster_request
from pytest_msk.settings import environment, given, resolve

if TYPE_CHECKING:
    from types import TracebackType

    from pytest_msk.cluster import MskCluster
    from pytest_msk.runtime import Runtime
    from pytest_msk.settings import Backend

T = TypeVar("T", bound=Callable[..., Any])


class MockMsk:
    """MSK while the context lasts: moto on, our services in it; its clusters are gone at the end.

    As a decorator it gives every call of a function, and every test of a class, an MSK of its own.
    """

    def __init__(self, **settings: Any) -> None:
        self._given = settings
        self._settings = resolve(given(settings), environment)
        self._runtime: Runtime | None = None

    def __enter__(self) -> MockMsk:
        from pytest_msk.runtime import Runtime

        if self._runtime is not None:
            raise RuntimeError("This mock_msk is on already; make another one to nest them.")
        runtime = Runtime(self._settings)
        runtime.plane(self._settings.backend).check()
        runtime.patch.start()
        self._runtime = runtime
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        runtime, self._runtime = self._entered(), None
        try:
            runtime.close()
        finally:
            runtime.patch.stop()

    @property
    def client(self) -> Any:
        """A boto3 ``kafka`` client, patched."""
        return self._entered().client()

    def cluster(self, **arguments: Any) -> MskCluster:
        """A cluster that lives until the context ends.

        Args:
            **arguments: those of ``@pytest.mark.msk``.

        Raises:
            MskUsageError: an argument is not allowed, or the backend cannot run such a cluster.
            BrokerStartError: the brokers did not become ready.
        """
        runtime = self._entered()
        request = cluster_request(check_arguments((), arguments), self._settings)
        return runtime.pool.lease(request, "mock_msk", lambda _: None).cluster

    def __call__(self, target: T) -> T:
        """Decorate a function, a coroutine function, or a class of tests."""
        if inspect.isclass(target):
            return self._decorate_class(target)  # type: ignore[no-any-return]
        if inspect.iscoroutinefunction(target):

            @functools.wraps(target)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                with MockMsk(**self._given):
                    return await target(*args, **kwargs)

            return coroutine  # type: ignore[return-value]

        @functools.wraps(target)
        def function(*args: Any, **kwargs: Any) -> Any:
            with MockMsk(**self._given):
                return target(*args, **kwargs)

        return function  # type: ignore[return-value]

    def _decorate_class(self, target: Any) -> Any:
        # A TestCase's run() encloses setUp, the test and tearDown, which thus share one MSK.
        test_case = issubclass(target, unittest.TestCase)
        names = ["run"] if test_case else [name for name in vars(target) if name.startswith("test")]
        for name in names:
            setattr(target, name, self(getattr(target, name)))
        return target

    def _entered(self) -> Runtime:
        if self._runtime is None:
            raise RuntimeError("This mock_msk is not on: use it as `with mock_msk() as msk:`.")
        return self._runtime


@overload
def mock_msk(backend: T, /) -> T: ...


@overload
def mock_msk(backend: Backend | None = None, **settings: Any) -> MockMsk: ...


def mock_msk(backend: Any = None, **settings: Any) -> Any:
    """MSK for a ``with`` block, a function, or a class of tests; usable without pytest.

    Args:
        backend: ``"embedded"``, ``"docker"`` or ``"metadata"``; the setting's value where absent.
        **settings: settings named as the options are (``kafka_version=``, ``brokers=``, ``strict=`` …),
            above those of the environment.

    Returns:
        A context manager and decorator. Its ``client`` is a boto3 ``kafka`` client, and its
        ``cluster(**arguments)`` makes an `MskCluster` from the marker's arguments.

    Raises:
        MskUsageError: there is no such setting, or its value is not allowed.
        BackendUnavailableError: on entering, the backend cannot run here.
    """
    if callable(backend):
        return MockMsk()(backend)
    if backend is not None:
        settings["backend"] = backend
    return MockMsk(**settings)
