"""What a client sends, in whatever pieces, comes out as the frames that it is made of."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_msk.brokers.embedded.frames import MAX_FRAME, BadFrameSizeError, Frames

KB, MB = 1 << 10, 1 << 20

sizes = st.one_of(
    st.integers(1, 200),
    st.integers(64 * KB - 10, 64 * KB + 10),
    st.integers(MB - 10, MB + 10),
    st.just(5 * MB),
)
pieces = st.one_of(st.integers(1, 100), st.integers(60 * KB, 70 * KB), st.just(16 * MB))


def announced(size: int) -> bytes:
    return size.to_bytes(4, "big", signed=True)


def framed(frame: bytes) -> bytes:
    return announced(len(frame)) + frame


def write(frames: Frames, data: bytes, at_most: int = 16 * MB) -> None:
    """Write as a socket does: as much as there is room for."""
    sent = 0
    while sent < len(data):
        room = frames.room()
        size = min(len(room), at_most, len(data) - sent)
        room[:size] = data[sent : sent + size]
        frames.written(size)
        sent += size


def taken(frames: Frames) -> list[memoryview]:
    found = []
    while (frame := frames.take()) is not None:
        found.append(frame)
    return found


def taken_one(frames: Frames) -> bytes:
    frame = frames.take()
    assert frame is not None
    return bytes(frame)


@settings(deadline=None, max_examples=50)
@given(st.lists(sizes, min_size=1, max_size=6), st.lists(pieces, min_size=1, max_size=3), st.booleans())
def test_frames_come_out_as_they_went_in(sizes: list[int], pieces: list[int], eager: bool) -> None:
    sent = [bytes([number]) * size for number, size in enumerate(sizes)]
    frames, found, data, turn = Frames(), list[memoryview](), b"".join(map(framed, sent)), 0
    while data:
        # Small pieces at frames' beginnings and ends; a large frame in a thousand of them is only slow.
        piece = pieces[turn % len(pieces)] if turn < 40 else 16 * MB
        write(frames, data[:piece])
        data, turn = data[piece:], turn + 1
        if eager:
            found += taken(frames)
    found += taken(frames)
    # Compared at the end: what came later must have left them alone.
    assert list(map(bytes, found)) == sent
    assert all(frame.readonly for frame in found)
    assert len(frames) == 0


@pytest.mark.parametrize("size", [0, -1, MAX_FRAME + 1, 2**31 - 1, -(2**31)])
def test_a_size_that_no_frame_has_is_refused(size: int) -> None:
    frames = Frames()
    write(frames, framed(b"before") + announced(size) + b"behind")
    assert taken_one(frames) == b"before"
    with pytest.raises(BadFrameSizeError, match=str(size)):
        frames.take()


def test_a_large_frame_gets_room_as_it_comes() -> None:
    frames = Frames()
    write(frames, announced(MAX_FRAME) + bytes(64 * KB))
    assert len(frames.room()) <= MB
    write(frames, bytes(4 * MB))
    assert len(frames.room()) <= 8 * MB
    assert frames.take() is None


def test_a_large_frame_is_not_copied() -> None:
    frames = Frames()
    write(frames, announced(512 * KB) + bytes(64 * KB))
    room = frames.room()
    assert len(room) == 512 * KB - 64 * KB
    room[:] = b"x" * len(room)
    frames.written(len(room))
    (frame,) = taken(frames)
    room[-1:] = b"y"
    assert bytes(frame[-1:]) == b"y"


def test_what_is_forgotten_does_not_come_out() -> None:
    frames = Frames()
    write(frames, framed(b"one") + announced(9) + b"half")
    (one,) = taken(frames)
    frames.clear()
    write(frames, framed(b"two"))
    assert [one, *taken(frames)] == [b"one", b"two"]
