"""Where embedded clusters run: in a thread of this process, or in a child process. The code is the same."""

from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import sys
import threading
from typing import Any, BinaryIO, Protocol

from pytest_msk.brokers.auth.logins import Logins
from pytest_msk.brokers.embedded import loop
from pytest_msk.errors import MskError, MskUsageError
from pytest_msk.spec import ClusterSpec


class Clusters:
    """The clusters of one host, by number. For use in the brokers' thread only."""

    def __init__(self) -> None:
        self._clusters: dict[int, Any] = {}
        self._numbers = itertools.count(1)

    def make(self, spec: ClusterSpec, logins: Logins) -> int:
        """A cluster that is not started yet; returns its number."""
        from pytest_msk.brokers.embedded.running import RunningCluster

        number = next(self._numbers)
        self._clusters[number] = RunningCluster(spec, logins)
        return number

    def call(self, number: int, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of a cluster; what it returns may be to await.

        Raises:
            MskError: the cluster was stopped.
        """
        if number not in self._clusters:
            raise MskError("The cluster was stopped.")
        return getattr(self._clusters[number], method)(*args, **kwargs)

    def stop(self, number: int) -> None:
        """End a cluster and forget it."""
        cluster = self._clusters.pop(number, None)
        if cluster is not None:
            cluster.stop()


class Host(Protocol):
    """Runs embedded clusters; every method may be called from any thread."""

    @property
    def inherited(self) -> bool:
        """Whether another process made it, and this one was forked from that: it cannot use it."""

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the host's `Clusters`.

        Raises:
            MskError: the host is inherited.
        """

    def end(self) -> None:
        """Let go of the thread, or the process. No cluster is left by then."""


class _Forkable:
    """Knows a forked child: neither the thread nor the turns at the pipes have come along with it."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def inherited(self) -> bool:
        """Whether this process was forked from the one that made the host."""
        return self._pid != os.getpid()

    def _refuse_inherited(self) -> None:
        if self.inherited:
            raise MskError(
                "These brokers belong to the process that this one was forked from. Kafka clients reach them "
                "from here; stop, start and inspect them there."
            )


class ThreadHost(_Forkable):
    """Runs clusters in the brokers' thread of this process."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = loop.hold()
        self._clusters = Clusters()

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of `Clusters` in the thread."""
        self._refuse_inherited()
        return self._thread.call(getattr(self._clusters, method), *args, **kwargs)

    def end(self) -> None:
        """Let go of the thread, which ends when nobody holds it."""
        loop.release(self._thread)


class ProcessHost(_Forkable):
    """Runs clusters in a child process, which ends when this process ends, however it does."""

    def __init__(self) -> None:
        super().__init__()
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
        )
        self._lock = threading.Lock()

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of `Clusters` in the child.

        Raises:
            MskUsageError: an argument cannot be sent to another process.
            MskError: the child has died, or this process is a fork of the one that made it.
        """
        self._refuse_inherited()
        try:
            request = pickle.dumps((method, args, kwargs))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise MskUsageError(
                f"Brokers that run in a process of their own cannot be given {args!r}: {error}. "
                "Run them in this process: leave out --msk-embedded-process."
            ) from error
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None  # noqa: S101
        assert pipe_out is not None  # noqa: S101
        with self._lock:
            try:
                pipe_in.write(request)
                pipe_in.flush()
                succeeded, result = pickle.load(pipe_out)  # noqa: S301  # from our own child
            except (OSError, EOFError) as error:
                raise MskError(
                    f"The process of the embedded brokers has ended with status {self._process.poll()}."
                ) from error
        if succeeded:
            return result
        raise result

    def end(self) -> None:
        """End the child."""
        # Told so, because children that were forked from this process may hold its input open.
        if not self.inherited:
            self._process.communicate(pickle.dumps(None))


def main() -> None:
    """What the child does: call what it is asked to, until it is told to end, or its input ends."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends us
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    sys.stdout = sys.stderr
    host = ThreadHost()
    try:
        while (request := _next(sys.stdin.buffer)) is not None:
            method, args, kwargs = request
            pickle.dump(_outcome(host, method, args, kwargs), answers)
            answers.flush()
    finally:
        host.end()


def _next(requests: BinaryIO) -> Any:
    try:
        return pickle.load(requests)  # noqa: S301  # from our own parent
    except EOFError:
        return None


def _outcome(host: Host, method: str, args: Any, kwargs: Any) -> tuple[bool, Any]:
    try:
        return True, host.call(method, *args, **kwargs)
    except Exception as error:
        return False, error


if __name__ == "__main__":
    main()
