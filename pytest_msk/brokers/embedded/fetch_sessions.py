"""Fetch sessions (KIP-227): a broker remembers what a consumer fetches, which then names changes alone."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Protocol

from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import NO_ID, Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.cluster import Broker
    from pytest_msk.brokers.embedded.registration import Registration

NO_SESSION = 0
_FULL = 0
_FINAL = -1
_LAST_EPOCH = 2**31 - 1
_FIRST_VERSION_BY_ID = 13
_EVICTABLE_AFTER_MS = 120_000
"""How long a session is safe from others, as Kafka's `MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`."""

Key = tuple[str | uuid.UUID, int]
"""A partition as a request names it: the topic by id or name, and the partition's number."""


class Wanted:
    """A partition that is fetched from, and what a session has last answered of it.

    Attributes:
        topic: the topic's name; None while there is no topic of that id.
        topic_id: the topic's id; `NO_ID` before version 13.
        index: the partition's number.
        offset: where to read from.
        max_bytes: how much of it to read at most.
        leader_epoch: the leader epoch that the client goes by; negative where it names none.
        last_epoch: the epoch of the record before ``offset``; negative where the client does not say.
        high_watermark: the last one answered, which is -1 with an error.
        log_start_offset: the last one answered.
        served_under: the partition's registration under which the broker was last found to be one that
            may serve it; each change of the partition makes another one.
    """

    __slots__ = (
        "high_watermark",
        "index",
        "last_epoch",
        "leader_epoch",
        "log_start_offset",
        "max_bytes",
        "offset",
        "served_under",
        "topic",
        "topic_id",
    )

    def __init__(self, topic: str | None, topic_id: uuid.UUID, asked: Message) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self.index: int = asked.partition
        self.high_watermark = -1
        self.log_start_offset = -1
        self.offset: int = asked.fetch_offset
        self.max_bytes: int = asked.partition_max_bytes
        self.leader_epoch: int = asked.current_leader_epoch
        self.last_epoch: int = asked.last_fetched_epoch
        self.served_under: Registration | None = None

    def ask_again(self, newer: Wanted) -> None:
        """Take over what a later request asks of the same partition."""
        self.offset = newer.offset
        self.max_bytes = newer.max_bytes
        self.leader_epoch = newer.leader_epoch
        self.last_epoch = newer.last_epoch
        self.served_under = None

    def remember(self, found: Message) -> None:
        """Keep of an answer what decides whether the next one has news; after an error, all is news."""
        self.high_watermark = found.high_watermark
        self.log_start_offset = found.log_start_offset


Found = tuple[Wanted, Message]
"""A partition, and the response's part for it: all of its fields that the session looks at are there."""


class Context(Protocol):
    """What one Fetch request asks for, and how its session answers.

    Attributes:
        wanted: the partitions, in the order in which they are to be read.
        incremental: whether a partition without news is left out of the answer.
    """

    wanted: Collection[Wanted]
    incremental: bool

    def settle(self, found: list[Found]) -> int:
        """Note what is going to be answered; returns the session's id for the answer.

        Raises:
            KafkaError: ``INVALID_FETCH_SESSION_EPOCH``: a later request has overtaken this one.
        """


class Sessionless:
    """A request that wants no session."""

    incremental = False

    def __init__(self, wanted: Collection[Wanted]) -> None:
        self.wanted = wanted

    def settle(self, found: list[Found]) -> int:
        """Nothing is remembered."""
        return NO_SESSION


class Full:
    """A request that names all its partitions and would like a session."""

    incremental = False

    def __init__(self, sessions: FetchSessions, wanted: Collection[Wanted], *, by_id: bool) -> None:
        self.wanted = wanted
        self._sessions = sessions
        self._by_id = by_id

    def settle(self, found: list[Found]) -> int:
        """Begin the session, if there is room for it."""
        for wanted, answer in found:
            wanted.remember(answer)
        return self._sessions.begin([wanted for wanted, _ in found], by_id=self._by_id)


class Session:
    """The partitions that one consumer fetches.

    Attributes:
        id: a positive number, unique on the broker.
        by_id: whether topics are named by their ids.
        epoch: the epoch that the next request must carry.
        wanted: the partitions, those least recently read from first.
        created_ms: when it began, in milliseconds since the epoch.
        used_ms: when a request last used it.
        size: number of partitions at that time.
    """

    __slots__ = ("by_id", "created_ms", "epoch", "id", "size", "used_ms", "wanted")

    def __init__(self, number: int, wanted: Iterable[Wanted], now_ms: int, *, by_id: bool) -> None:
        self.id = number
        self.by_id = by_id
        self.epoch = 1
        self.wanted = {_key(each, by_id=by_id): each for each in wanted}
        self.created_ms = now_ms
        self.touch(now_ms)

    def touch(self, now_ms: int) -> None:
        """Note that a request uses it."""
        self.used_ms = now_ms
        self.size = len(self.wanted)

    def update(self, asked: dict[Key, Wanted], forgotten: Iterable[Key]) -> None:
        """Add partitions or change what is asked of them, then remove those that are to be forgotten."""
        for key, newer in asked.items():
            known = self.wanted.get(key)
            if known is None:
                self.wanted[key] = newer
            else:
                known.ask_again(newer)
        for key in forgotten:
            self.wanted.pop(key, None)


class Incremental:
    """A request that goes on with a session."""

    incremental = True

    def __init__(self, session: Session) -> None:
        self.wanted: Collection[Wanted] = session.wanted.values()
        self._session = session
        self._epoch = session.epoch

    def settle(self, found: list[Found]) -> int:
        """Remember what is answered; partitions with records go to the end, so that each has its turn."""
        session = self._session
        if session.epoch != self._epoch:
            raise KafkaError("INVALID_FETCH_SESSION_EPOCH")
        for wanted, answer in found:
            wanted.remember(answer)
            if answer.records:
                key = _key(wanted, by_id=session.by_id)
                session.wanted[key] = session.wanted.pop(key)
        return session.id


class FetchSessions:
    """The sessions of one broker, for as long as it runs.

    There are at most ``max.incremental.fetch.session.cache.slots``. A new session takes the place of
    one that nobody has used for two minutes, or else of the smallest, if that is smaller and was in
    use for two minutes (`FetchSessionCache`).
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._sessions: dict[int, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def context(self, version: int, body: Message) -> Context:
        """What a Fetch request asks for.

        Raises:
            KafkaError: the request's error as a whole: ``FETCH_SESSION_ID_NOT_FOUND``,
                ``INVALID_FETCH_SESSION_EPOCH`` or ``FETCH_SESSION_TOPIC_ID_ERROR``.
        """
        by_id = version >= _FIRST_VERSION_BY_ID
        asked = _asked(body, by_id=by_id)
        if body.session_epoch in (_FULL, _FINAL):
            self._sessions.pop(body.session_id, None)
            if body.session_epoch == _FINAL:
                return Sessionless(asked.values())
            return Full(self, asked.values(), by_id=by_id)
        session = self._sessions.get(body.session_id)
        if session is None:
            raise KafkaError("FETCH_SESSION_ID_NOT_FOUND")
        if session.epoch != body.session_epoch:
            raise KafkaError("INVALID_FETCH_SESSION_EPOCH")
        if session.by_id != by_id:
            raise KafkaError("FETCH_SESSION_TOPIC_ID_ERROR")
        session.update(asked, _forgotten(body, by_id=by_id))
        del self._sessions[session.id]
        if not session.wanted:
            return Sessionless(asked.values())
        # Put back last: the first one of all is the one that was not used for longest.
        self._sessions[session.id] = session
        session.touch(self._now_ms())
        session.epoch = 1 if session.epoch == _LAST_EPOCH else session.epoch + 1
        return Incremental(session)

    def begin(self, wanted: Collection[Wanted], *, by_id: bool) -> int:
        """Make a session; returns its id, `NO_SESSION` where there is no room."""
        now_ms = self._now_ms()
        slots: int = self._broker.cluster.configs.broker(
            self._broker.id, "max.incremental.fetch.session.cache.slots"
        )
        if len(self._sessions) >= slots and not self._evict(len(wanted), now_ms):
            return NO_SESSION
        number = 1 + secrets.randbelow(_LAST_EPOCH)
        while number in self._sessions:
            number = 1 + secrets.randbelow(_LAST_EPOCH)
        self._sessions[number] = Session(number, wanted, now_ms, by_id=by_id)
        return number

    def _evict(self, size: int, now_ms: int) -> bool:
        """Make room for a session of so many partitions; returns whether there is some now."""
        oldest = next(iter(self._sessions.values()), None)
        if oldest is None:
            return False
        if now_ms - oldest.used_ms > _EVICTABLE_AFTER_MS:
            del self._sessions[oldest.id]
            return True
        settled = [
            session
            for session in self._sessions.values()
            if session.used_ms - session.created_ms > _EVICTABLE_AFTER_MS
        ]
        smallest = min(settled, key=lambda session: (session.size, session.id), default=None)
        if smallest is None or smallest.size >= size:
            return False
        del self._sessions[smallest.id]
        return True

    def _now_ms(self) -> int:
        return self._broker.cluster.clock.now_ms()


def _asked(body: Message, *, by_id: bool) -> dict[Key, Wanted]:
    """The partitions that a request names; of one that is named twice, the last."""
    asked: dict[Key, Wanted] = {}
    for topic in body.topics:
        topic_id = topic.topic_id if by_id else NO_ID
        known_as = topic_id if by_id else topic.topic
        for partition in topic.partitions:
            asked[known_as, partition.partition] = Wanted(topic.topic or None, topic_id, partition)
    return asked


def _forgotten(body: Message, *, by_id: bool) -> list[Key]:
    return [
        (topic.topic_id if by_id else topic.topic, partition)
        for topic in body.forgotten_topics_data
        for partition in topic.partitions
    ]


def _key(wanted: Wanted, *, by_id: bool) -> Key:
    return (wanted.topic_id if by_id else wanted.topic or "", wanted.index)
