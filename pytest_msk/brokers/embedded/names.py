"""Topic names for requests that carry topic ids alone, so that all that follows sees names."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pytest_msk.brokers.embedded.api import Request
from pytest_msk.brokers.wire.message import NO_ID, Message

_TOPICS: dict[str, tuple[str, Callable[[Message], Iterable[Message]]]] = {
    "Produce": ("name", lambda body: body.topic_data),
    "Fetch": ("topic", lambda body: [*body.topics, *body.forgotten_topics_data]),
    "OffsetCommit": ("name", lambda body: body.topics),
    "OffsetFetch": ("name", lambda body: [topic for group in body.groups for topic in group.topics or ()]),
}


def fill_in(request: Request) -> None:
    """Write the names of known topics beside their ids; unknown ones stay without."""
    if request.api not in _TOPICS:
        return
    field, topics = _TOPICS[request.api]
    known = request.cluster.topics
    for topic in topics(request.body):
        if topic.topic_id != NO_ID and not getattr(topic, field):
            found = known.by_id(topic.topic_id)
            if found is not None:
                setattr(topic, field, found.name)
