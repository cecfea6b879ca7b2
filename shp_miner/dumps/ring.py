"""The blocks in which decompressed text is handed on, and who works on which of them.

A file goes through three threads. The first one decompresses, the second one searches, the third one parses:

    file --128 KiB--> decoder --1 MiB--> ring of 4 blocks --queue of 2--> whole lines --> search --> parser
                      |  first thread                  |    second thread                |  third

**The window.** The decoder keeps the last bytes that it made: of Reddit's monthly files up to 2 GiB. The kernel hands
that memory out page by page when a page is first written. A fourth thread (`window.WindowToucher`) asks for the pages a
little earlier, until the whole window has been written once:

    | written by the decoder           | pages made ready: 64 MiB | not asked for yet                        |
    ^ start                            ^ decoder -->              ^ toucher -->                        2 GiB ^

The window belongs to the decoder. No reader sees it: text is copied from it into a block of the ring.

**The blocks.** The decoder fills the ring's buffers in turns. While the second thread works on block k:

    buffer 0          buffer 1          buffer 2          buffer 3
    block k           block k+1         block k+2         block k+3
    is read           waits             waits             is made, or is complete and waits for a place in the queue

When the second thread takes block k+1, a place is free in the queue, block k+3 goes there, and the decoder turns to
buffer 0 for block k+4. From then on block k is stale. So a block may be read until the next one is taken; what is
needed for longer must be copied (`lines.cut` copies the lines that were found).

**Stale blocks.** Nobody can read the bytes of another block by mistake. When a buffer's turn comes again, the block
that was handed out of it is released: to read it then raises ValueError. Where somebody holds a part of it (a slice, a
numpy array), the buffer is left to that reader as it is, and the ring goes on with a new one. Both checks together
take less than a microsecond a block.
"""

from __future__ import annotations

from contextlib import suppress


class Ring:
    """A few buffers of `size` bytes that are filled in turns; `count` of them are valid at the same time."""

    def __init__(self, count: int, size: int) -> None:
        self._buffers = [bytearray(size) for _ in range(count)]
        self._blocks = [memoryview(b"") for _ in range(count)]
        self._turn = -1

    def next_buffer(self) -> bytearray:
        """The buffer to fill now. The block that was handed out of it before cannot be read any more."""
        self._turn = (self._turn + 1) % len(self._buffers)
        with suppress(BufferError):  # an array that somebody made of it is held: see below
            self._blocks[self._turn].release()
        if _is_held(self._buffers[self._turn]):
            self._replace()
        return self._buffers[self._turn]

    def block(self, start: int, stop: int) -> memoryview:
        """A part of the buffer that was filled last, to be handed out."""
        with memoryview(self._buffers[self._turn]) as whole:
            self._blocks[self._turn] = whole[start:stop]
        return self._blocks[self._turn]

    def _replace(self) -> None:
        """Leave the buffer whose turn it is to whoever holds a part of it."""
        self._buffers[self._turn] = bytearray(len(self._buffers[self._turn]))


def _is_held(buffer: bytearray) -> bool:
    """Whether a part of a buffer is held somewhere: then Python does not let its length be changed."""
    try:
        buffer.append(0)
    except BufferError:
        return True
    buffer.pop()
    return False
