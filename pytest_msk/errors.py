"""The errors that people who use the plugin see."""

from __future__ import annotations


class MskError(Exception):
    """Anything that went wrong in a cluster that pytest-msk runs."""


class MskUsageError(MskError, ValueError):
    """The caller asked for something that cannot be; nothing was started."""


class BackendUnavailableError(MskError):
    """The chosen backend cannot run here (no Docker engine, say). Tells causes and remedies."""


class BrokerStartError(MskError):
    """Brokers did not become ready. The message ends with the last lines of the broker's log."""


class ConditionTimeoutError(MskError, TimeoutError):
    """What a test waited for did not come. The message says what there was."""


class UnsupportedOnPlaneError(MskError):
    """The plane that runs this cluster has no such thing."""
