"""Pages of lists: ``maxResults`` and ``nextToken``."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pytest_msk.aws.errors import bad_request
from pytest_msk.aws.service import Call

T = TypeVar("T")

DEFAULT_MAX_RESULTS = 100
"""Length of a page when the caller does not say; the model allows no more than this."""


def page(call: Call[Any], items: Iterable[T], key: Callable[[T], str]) -> tuple[list[T], str | None]:
    """The page of ``items`` that a call asks for, and the token of the next one (None on the last).

    Args:
        call: a call of a List operation.
        items: all the items.
        key: an item's place in the order of the list, unique. The token holds the key of the last
            item shown, so items that come or go between two calls neither repeat nor hide others.

    Raises:
        AwsError: BadRequestException for a token that this operation did not give out.
    """
    after = _last_key(call)
    rest = sorted((item for item in items if after is None or key(item) > after), key=key)
    length = call.params.get("MaxResults", DEFAULT_MAX_RESULTS)
    shown = rest[:length]
    return shown, _token(call, key(shown[-1])) if len(rest) > length else None


def _token(call: Call[Any], last_key: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([call.operation, last_key]).encode()).decode()


def _last_key(call: Call[Any]) -> str | None:
    token = call.params.get("NextToken")
    if token is None:
        return None
    try:
        operation, last_key = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError):
        operation = last_key = None
    if operation != call.operation or not isinstance(last_key, str):
        raise bad_request(
            f"The token {token!r} is not valid. Use the nextToken of the last {call.operation} answer.",
            "nextToken",
        )
    return last_key
