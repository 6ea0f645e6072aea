"""What clients forget to close."""

from __future__ import annotations

import gc
import warnings


def collect_sockets() -> None:
    """End sockets that a client lost, before they become the warning of a test that did not make them.

    docker-py loses one where it cannot connect; kafka-python 3.0.12 where a broker refuses.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
