"""Moto's other services, as far as a user's test has used them.

They are never imported for it, which would take up to a second: in what nobody imported there is nothing.
"""

from __future__ import annotations

import sys
from typing import Any


def backends(service: str) -> Any:
    """Moto's backends of a service (``s3``), by account, then by region, or by partition where it has none.

    Only ``get``, ``values`` and iteration are for us: moto's dictionaries make what an index asks for.
    """
    return getattr(sys.modules.get(f"moto.{service}.models"), f"{service}_backends", {})


def backend(service: str, account_id: str, where: str) -> Any:
    """The backend of one account in one region, or one partition; None where nothing has used it."""
    return backends(service).get(account_id, {}).get(where)
