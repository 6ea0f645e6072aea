"""At which offset each leader of a partition began (KIP-101, KIP-279; `LeaderEpochFileCache`)."""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter

UNKNOWN = -1

_EPOCH = itemgetter(0)
_START = itemgetter(1)


class LeaderEpochs:
    """Leader epochs and the offsets at which they begin; both rise."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: list[tuple[int, int]] = []

    @property
    def latest(self) -> int:
        """The newest epoch; -1 if there is none."""
        return self._entries[-1][0] if self._entries else UNKNOWN

    def assign(self, epoch: int, start: int) -> None:
        """Let an epoch begin at an offset. Entries that this contradicts are dropped."""
        entries = self._entries
        if entries and entries[-1][0] == epoch and entries[-1][1] <= start:
            return
        while entries and (entries[-1][0] >= epoch or entries[-1][1] >= start):
            entries.pop()
        entries.append((epoch, start))

    def end_for(self, epoch: int, log_end: int) -> tuple[int, int]:
        """The greatest epoch that is not above ``epoch``, and where it ends; (-1, -1) if unknown.

        Of an epoch before all that are known the end is where the first of these begins.
        """
        entries = self._entries
        if epoch == UNKNOWN or epoch > self.latest:
            return UNKNOWN, UNKNOWN
        if epoch == self.latest:
            return epoch, log_end
        following = bisect_right(entries, epoch, key=_EPOCH)
        found = entries[following - 1][0] if following else epoch
        return found, entries[following][1]

    def at(self, offset: int) -> int:
        """The epoch that an offset is of; -1 if unknown."""
        following = bisect_right(self._entries, offset, key=_START)
        return self._entries[following - 1][0] if following else UNKNOWN

    def drop_before(self, offset: int) -> None:
        """Forget epochs that ended before ``offset``; the one it is of begins there now."""
        following = bisect_right(self._entries, offset, key=_START)
        if following:
            self._entries[:following] = [(self._entries[following - 1][0], offset)]

    def truncate(self, offset: int) -> None:
        """Forget epochs that begin at ``offset`` or later."""
        while self._entries and self._entries[-1][1] >= offset:
            self._entries.pop()
