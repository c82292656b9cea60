# SPDX-License-Identifier: Apache-2.0
"""AXI4-Stream source and sink that move whole frames of bytes.

They write only what changes, read each signal once a beat, and sleep while nothing moves and through pauses: an access
or a cycle waited for costs microseconds, so this is what decides how fast a bench is.
Byte 0 of a frame is ``tdata[7:0]``; ``tkeep`` is contiguous and full but on ``tlast``. A stream without ``tlast``
carries one beat per frame. `random_pause` makes gaps and back-pressure.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import cocotb
from cocotb.queue import Queue
from cocotb.triggers import First, Timer

__all__ = ["AxisSink", "AxisSource", "Frame", "random_pause", "raw"]

#: Cycles of a pause that are slept through at a time; a change of `pause` takes effect behind them.
_LONGEST = 16


def raw(handle):
    """A function that reads a port as a number, at a fifth of the price of ``int(handle.value)``.

    Like that it raises ``ValueError`` for X and Z. None for a port that is not there.
    """
    if handle is None:
        return None
    bits = handle._handle.get_signal_val_binstr
    return lambda: int(bits(), 2)


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
    def __init__(self, dut, prefix, clock, cycle, period):
        self.name = prefix
        self._edge = clock.rising_edge
        self._cycle = cycle
        self._period = period
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

    def _idle(self):
        """Cycles of pause that come next."""
        cycles = 0
        while cycles < _LONGEST and self.pause is not None and next(self.pause):
            cycles += 1
        return cycles

    def _until_edge(self, cycles):
        """A trigger between the last two of the edges to come; an edge must just have passed."""
        return Timer((cycles - 1) * self._period + self._period // 2, "ps")

    async def _sleep(self, cycles):
        """Wait for a number of edges, at the price of two; an edge must just have passed."""
        if cycles > 2:
            await self._until_edge(cycles)
            cycles = 1
        for _ in range(cycles):
            await self._edge


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
    period : int
        Picoseconds from one rising edge of the clock to the next.
    """

    def __init__(self, dut, prefix, clock, cycle, period):
        super().__init__(dut, prefix, clock, cycle, period)
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
        is_ready, driven = raw(ready), False
        while True:
            if self._queue.empty():
                valid.value = driven = 0
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
                while self.pause is not None and (idle := self._idle()):
                    if driven:
                        valid.value = driven = 0
                    await self._sleep(idle)
                data.value = int.from_bytes(content[at : at + lanes], "little")
                if at >= end and last is not None:
                    keep.value = full >> (lanes - (len(content) - at))
                    last.value = 1
                if user is not None and flagged != (at // lanes in frame.errors):
                    flagged = not flagged
                    user.value = int(flagged)
                if not driven:
                    valid.value = driven = 1
                await edge
                while not is_ready():
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

    async def _hold(self, cycles):
        """Let a beat wait for some cycles with ``tready`` low, in which nothing may change."""
        if cycles > 2:
            watched = [handle for handle in (self._data, self._keep, self._last, self._user) if handle is not None]
            time = self._until_edge(cycles)
            fired = await First(time, self._valid.falling_edge, *(handle.value_change for handle in watched))
            assert fired is not self._valid.falling_edge, f"{self.name}: tvalid was withdrawn"
            assert fired is time, f"{self.name}: the payload changed while it waited"
            cycles = 1
        for _ in range(cycles):
            await self._edge

    async def _run(self):
        edge, valid, ready, lanes = self._edge, self._valid, self._ready, self._lanes
        is_valid = raw(valid)
        ports = [raw(handle) for handle in (self._data, self._keep, self._last, self._user)]
        full = (1 << lanes) - 1
        content, errors, first, held, driven = bytearray(), [], None, None, False
        while True:
            idle = self._idle() if self.pause is not None else 0
            if (not idle) != driven:
                ready.value = driven = not idle
            await edge
            if not is_valid():
                assert held is None, f"{self.name}: tvalid was withdrawn"
                await valid.rising_edge
                continue
            beat = tuple(port and port() for port in ports)
            assert held in (None, beat), f"{self.name}: the payload changed while it waited"
            self._open = True
            if idle:
                held = beat
                await self._hold(idle - 1)
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
