# SPDX-License-Identifier: Apache-2.0
"""AXI4-Stream source and sink that move whole frames of bytes.

They write only what changes, read each signal once a beat, and sleep while nothing moves: an access costs
microseconds, so this is what decides how fast a bench is (several times faster than a driver that works by bytes).
Byte 0 of a frame is ``tdata[7:0]``; ``tkeep`` is contiguous and full but on ``tlast``. A stream without ``tlast``
carries one beat per frame. `random_pause` makes gaps and back-pressure.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import cocotb
from cocotb.queue import Queue

__all__ = ["AxisSink", "AxisSource", "Frame", "random_pause"]


@dataclass(eq=False, slots=True)
class Frame:
    """A frame on a stream.

    ``errors`` are the beats with ``tuser[0]`` set; ``first`` and ``last`` the cycles in which the first and the last
    beat was transferred, None until then.
    """

    data: bytes
    errors: frozenset[int] = field(default_factory=frozenset)
    first: int | None = None
    last: int | None = None


def random_pause(rng, share=0.3, longest=6):
    """A pause for `AxisSource.pause` or `AxisSink.pause`: idle cycles in bursts of 1 to ``longest``.

    ``share`` is the part of all cycles that is idle; ``rng`` a `random.Random`.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and less than 1, not {share!r}")
    mean = (1 + longest) / 2
    start = share / (mean * (1 - share) + share)
    while True:
        if rng.random() < start:
            for _ in range(rng.randint(1, longest)):
                yield True
        else:
            yield False


class _Port:
    def __init__(self, dut, prefix, clock, cycle):
        self.name = prefix
        self._edge = clock.rising_edge
        self._cycle = cycle
        self._data = getattr(dut, f"{prefix}_tdata")
        self._valid = getattr(dut, f"{prefix}_tvalid")
        self._ready = getattr(dut, f"{prefix}_tready")
        self._keep = getattr(dut, f"{prefix}_tkeep", None)
        self._last = getattr(dut, f"{prefix}_tlast", None)
        self._user = getattr(dut, f"{prefix}_tuser", None)
        self._lanes = len(self._data) // 8
        self._queue = Queue()
        self._task = None
        #: Iterator of booleans, one a cycle; true makes the cycle idle. None is full speed.
        self.pause: Iterator[bool] | None = None

    def stop(self):
        """Forget all frames and stop driving; `start` begins anew."""
        if self._task is not None:
            self._task.cancel()
        self._task = None
        self._queue = Queue()

    def _spawn(self):
        self._task = cocotb.start_soon(self._run())


class AxisSource(_Port):
    """Drives a stream into the design.

    Parameters
    ----------
    dut, prefix
        Ports are ``dut.PREFIX_tdata`` and so on; the width is the port's.
    clock
        The clock's handle.
    cycle : function
        Returns the number of the current cycle.
    """

    def __init__(self, dut, prefix, clock, cycle):
        super().__init__(dut, prefix, clock, cycle)
        self._pending = 0

    def clear(self):
        """Drive every port low, as before and in reset."""
        for handle in (self._data, self._valid, self._keep, self._last, self._user):
            if handle is not None:
                handle.value = 0

    def start(self):
        """Begin to send what was and will be queued."""
        self._pending = self._queue.qsize()
        self._spawn()

    def send(self, data, errors=()):
        """Queue ``data``, at least one byte, and return its `Frame`; ``errors`` are beats, negative from the end."""
        beats = -(-len(data) // self._lanes)
        if not data:
            raise ValueError(f"{self.name}: a frame has at least one byte")
        if self._last is None and beats != 1:
            raise ValueError(f"{self.name}: {len(data)} bytes do not fit in one beat of {self._lanes}")
        if not all(-beats <= beat < beats for beat in errors):
            raise ValueError(f"{self.name}: errors must be beats of a frame of {beats}, not {sorted(errors)}")
        if errors and self._user is None:
            raise ValueError(f"{self.name} has no tuser")
        frame = Frame(bytes(data), frozenset(beat % beats for beat in errors))
        self._pending += 1
        self._queue.put_nowait(frame)
        return frame

    @property
    def pending(self):
        """Frames queued and not yet transferred to the end."""
        return self._pending

    async def _run(self):
        edge, lanes = self._edge, self._lanes
        data, valid, ready, keep, last, user = (
            self._data, self._valid, self._ready, self._keep, self._last, self._user)
        full = (1 << lanes) - 1
        while True:
            if self._queue.empty():
                valid.value = 0
                frame = await self._queue.get()
                # A frame may be queued at any moment; ports change after an edge only.
                await edge
            else:
                frame = self._queue.get_nowait()
            content, end = frame.data, len(frame.data) - lanes
            if last is not None:
                keep.value = full
                last.value = 0
            flagged = 0
            for at in range(0, len(content), lanes):
                while self.pause is not None and next(self.pause):
                    valid.value = 0
                    await edge
                data.value = int.from_bytes(content[at : at + lanes], "little")
                if at >= end and last is not None:
                    keep.value = full >> (lanes - (len(content) - at))
                    last.value = 1
                if user is not None and flagged != (at // lanes in frame.errors):
                    flagged = not flagged
                    user.value = int(flagged)
                valid.value = 1
                await edge
                while not ready.value:
                    await ready.rising_edge
                    await edge
                if frame.first is None:
                    frame.first = self._cycle()
            frame.last = self._cycle()
            if flagged:
                user.value = 0
            self._pending -= 1


class AxisSink(_Port):
    """Takes a stream out of the design; parameters as for `AxisSource`.

    Fails the test when ``tvalid`` is withdrawn or the payload changes while ``tready`` is low, when ``tkeep`` is not
    contiguous or not full before ``tlast``, and when a payload holds X.
    """

    def clear(self):
        """Drive ``tready`` low, as before and in reset."""
        self._ready.value = 0

    def start(self):
        """Begin to take frames."""
        self._open = False
        self._spawn()

    def stop(self):
        super().stop()
        self._open = False

    @property
    def idle(self):
        """No frame has begun or is held back, and none waits to be taken out of here."""
        return not self._open and self._queue.empty()

    async def recv(self):
        """The next whole `Frame`."""
        return await self._queue.get()

    def recv_nowait(self):
        """The next whole `Frame`; raises `cocotb.queue.QueueEmpty` when there is none."""
        return self._queue.get_nowait()

    def _beat(self):
        return tuple(None if handle is None else int(handle.value)
                     for handle in (self._data, self._keep, self._last, self._user))

    async def _run(self):
        edge, valid, ready, lanes = self._edge, self._valid, self._ready, self._lanes
        full = (1 << lanes) - 1
        content, errors, first, held, driven = bytearray(), [], None, None, False
        while True:
            take = self.pause is None or not next(self.pause)
            if take != driven:
                ready.value = driven = take
            await edge
            if not valid.value:
                assert held is None, f"{self.name}: tvalid was withdrawn"
                if self.pause is None:
                    await valid.rising_edge
                continue
            beat = self._beat()
            assert held in (None, beat), f"{self.name}: the payload changed while it waited"
            self._open = True
            if not take:
                held = beat
                continue
            held = None
            data, keep, last, user = beat
            count = lanes
            if keep is not None and keep != full:
                assert last, f"{self.name}: tkeep is {keep:#x} before tlast"
                count = keep.bit_length()
                assert keep == full >> (lanes - count) > 0, f"{self.name}: tkeep is {keep:#x}, not contiguous"
            if user is not None and user & 1:
                errors.append(len(content) // lanes)
            content += data.to_bytes(lanes, "little")[:count]
            if first is None:
                first = self._cycle()
            if last is None or last:
                self._open = False
                self._queue.put_nowait(Frame(bytes(content), frozenset(errors), first, self._cycle()))
                content, errors, first = bytearray(), [], None
