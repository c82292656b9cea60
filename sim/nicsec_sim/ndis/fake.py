# SPDX-License-Identifier: Apache-2.0
"""The golden model behind the engine's registers, descriptors and completions.

It decodes the staging window, so a driver that writes it wrongly is found out without any RTL. Time does not pass:
nothing here ever waits.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..model.engine import FEATURES, Engine, SecurityAssociation, Unsupported
from ..model.sa import Bundle, Limits, Op
from ..model.status import Status
from .link import ProtocolError
from .registers import (
    AUTH_IDS,
    COUNTER_NAMES,
    ENCR_IDS,
    EVENTS_LOST,
    IDENTITY,
    Completion,
    Descriptor,
    EventKind,
    Feature,
    Irq,
    Reg,
    SaCommand,
    SaResult,
)

__all__ = ["ModelLink", "drive"]

_ENCR_NAMES = {number: name for name, number in ENCR_IDS.items()}
_AUTH_NAMES = {number: name for name, number in AUTH_IDS.items()}
_SALT_BYTES = {"aes-gcm": 4, "aes-gmac": 4, "aes-ctr": 4, "aes-ccm": 3, "chacha20-poly1305": 4}
_KEY_BYTES = {"des-cbc": 8, "3des-cbc": 24, "chacha20-poly1305": 32}
_BLOCK_BYTES = {"hmac-sha384-192": 128, "hmac-sha512-256": 128, "aes-xcbc-96": 16, "aes-cmac-96": 16}
_MASK = 0xFFFFFFFF

_T = TypeVar("_T")


def drive(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that talks to a ``ModelLink``."""
    return asyncio.run(coroutine)


def _decode_op(window: dict[int, int]) -> tuple[Op, bool]:
    """The op in a staging window, and its tunnel bit; raises ``ValueError``."""

    def octets(offset: int, count: int) -> bytes:
        return b"".join(struct.pack(">I", window.get(offset + n, 0)) for n in range(0, -(-count // 4) * 4, 4))[:count]

    control = window[0]
    ah, tunnel, generate, esn, udp = (control >> n & 1 for n in range(1, 6))
    encr, auth = _ENCR_NAMES.get(control >> 8 & 15), _AUTH_NAMES.get(control >> 12 & 15)
    if encr is None or (auth is None and control >> 12 & 15):
        raise ValueError(f"CONTROL must name known algorithms, not {control:#010x}")
    aes_bytes = {0: 16, 1: 24, 2: 32}.get(control >> 6 & 3)
    if aes_bytes is None:
        raise ValueError("CONTROL must have an AES key size of 0, 1 or 2, not 3")
    suite = auth if ah else encr
    key_bytes = 0 if ah or encr == "null" else _KEY_BYTES.get(encr, aes_bytes)
    auth_bytes = 0 if auth is None else _BLOCK_BYTES.get(auth, 64)
    op = Op(
        protocol="ah" if ah else "esp",
        spi=window.get(4, 0),
        encr_alg=None if ah else encr,
        encr_key=octets(0x20, key_bytes),
        salt=octets(8, _SALT_BYTES.get(suite or "", 0)),
        auth_alg=auth,
        auth_key=octets(0x20, aes_bytes) if auth == "aes-gmac" else octets(0x40, auth_bytes),
        icv_len=4 * (control >> 16 & 15),
        iv="generate" if generate else "frame",
        esn=bool(esn),
        esn_high=window.get(0xC, 0),
        udp_encap=bool(udp),
        iv_init=window.get(0x10, 0) | window.get(0x14, 0) << 32,
    )
    return op, bool(tunnel)


def _decode_limits(window: dict[int, int]) -> Limits:
    """The limits in the first op's window; raises ``ValueError``."""
    return Limits(**{
        name: window.get(0xC0 + 8 * n, 0) | window.get(0xC4 + 8 * n, 0) << 32
        for n, name in enumerate(("soft_packets", "hard_packets", "soft_bytes", "hard_bytes"))
    })


def lacking_features(config: Any) -> tuple[str, ...]:
    """Members of ``model.engine.FEATURES`` that the build of a ``nicsec.config.Config`` lacks."""
    lacking = () if config.auth else ("ah", "ah_esp")
    if not config.checksum:
        lacking += ("csum_ip", "csum_l4")
    return lacking if config.lifetimes else (*lacking, "lifetime")


class ModelLink:
    """A ``Link`` to the golden model.

    Parameters
    ----------
    encr, auth : collection of str, optional
        Algorithms of the build; all when not given.
    max_frame, sa_slots : int
        As in the build's configuration.
    lacking : collection of str
        Features that the build lacks (see ``model.engine.FEATURES``).
    utilisation : bool
        Whether the build says that it counts units' work; here no time passes, and the counters stay 0.
    event_depth : int
        Events held for the driver; later ones are lost.
    """

    def __init__(
        self, *, encr=None, auth=None, max_frame=9600, sa_slots=256, config_hash=0, lacking=(), utilisation=True,
        event_depth=16,
    ):
        self.engine = Engine(encr=encr, auth=auth, max_frame=max_frame, enabled=False, unsupported=lacking)
        self.cycle = 0
        self.slots: list[SecurityAssociation | None] = [None] * sa_slots
        self.generations = [0] * sa_slots
        self.windows: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.handle = 0
        self.result = SaResult.OK
        self.counts = (0, 0, 0)
        self.events: deque[tuple[int, EventKind]] = deque()
        self.event_depth = event_depth
        self.events_lost = False
        self.irq_status = self.irq_mask = Irq(0)
        self._fixed: dict[int, int] = {
            Reg.ID: IDENTITY,
            Reg.VERSION: 0x00010000,
            Reg.CONFIG_HASH: config_hash,
            Reg.CAP_LANES: 1,
            Reg.CAP_SA_SLOTS: sa_slots,
            Reg.CAP_MAX_FRAME: max_frame,
            Reg.CAP_ENCR: sum(1 << ENCR_IDS[name] for name in self.engine.encr),
            Reg.CAP_AUTH: sum(1 << AUTH_IDS[name] for name in self.engine.auth),
            Reg.CAP_FEATURES: sum(Feature[name.upper()] for name in FEATURES if self.engine.supports(name))
            | Feature.UTILISATION * utilisation,
            Reg.STATUS: 1,
        }
        self.counters = dict.fromkeys(COUNTER_NAMES, 0)
        self.status_counts = dict.fromkeys(Status, 0)
        self.completions: deque[bytes] = deque()
        self.frames: deque[bytes] = deque()

    @classmethod
    def from_config(cls, config):
        """The model of the build that a ``nicsec.config.Config`` describes."""
        return cls(
            encr=config.encr,
            auth=config.auth,
            max_frame=config.max_frame,
            sa_slots=config.sa_slots,
            config_hash=int(config.hash[:8], 16),
            lacking=lacking_features(config),
            utilisation=config.utilisation,
        )

    @property
    def irq(self) -> bool:
        return bool(self.irq_status & self.irq_mask)

    async def start(self) -> None:
        """Nothing is to be reset."""

    async def wait(self, cycles: int) -> None:
        """Nothing here takes time."""

    async def read(self, offset: int) -> int:
        if (value := self._fixed.get(offset)) is not None:
            return value
        packets, octets, errors = self.counts
        handle, kinds = self.events[0] if self.events else (0, 0)
        registers: dict[int, int] = {
            Reg.CTRL: self.engine.enabled,
            Reg.IRQ_STATUS: self.irq_status,
            Reg.IRQ_MASK: self.irq_mask,
            Reg.SA_HANDLE: self.handle,
            Reg.SA_STATUS: self.result,
            Reg.SA_FREE: self.slots.count(None),
            Reg.SA_EVENT: handle,
            Reg.SA_EVENT_KIND: kinds | EVENTS_LOST * self.events_lost,
            Reg.SA_PACKETS: packets & _MASK,
            Reg.SA_PACKETS + 4: packets >> 32,
            Reg.SA_BYTES: octets & _MASK,
            Reg.SA_BYTES + 4: octets >> 32,
            Reg.SA_ERRORS: errors,
        }
        if offset in registers:
            return int(registers[offset])
        n = offset - Reg.COUNTERS >> 3
        if 0 <= n < len(COUNTER_NAMES):
            return self.counters[COUNTER_NAMES[n]] >> 8 * (offset & 4) & _MASK
        n = offset - Reg.STATUS_COUNTERS >> 2
        return self.status_counts[Status(n)] if 0 <= n < len(Status) else 0

    async def write(self, offset: int, value: int) -> None:
        if not 0 <= value <= _MASK or offset % 4:
            raise ValueError(f"a register takes 32 bits at a multiple of 4, not {value:#x} at {offset:#x}")
        if offset == Reg.CTRL:
            self.engine.enabled = bool(value & 1)
        elif offset == Reg.SA_HANDLE:
            self.handle = value
        elif offset == Reg.IRQ_STATUS:
            self.irq_status &= ~Irq(value & 7)
        elif offset == Reg.IRQ_MASK:
            self.irq_mask = Irq(value & 7)
        elif offset == Reg.SA_EVENT_KIND:
            self.events_lost = False
            if self.events:
                self.events.popleft()
        elif offset == Reg.SA_COMMAND:
            commands = {SaCommand.ADD: self._add, SaCommand.DELETE: self._delete, SaCommand.UPDATE: self._update,
                        SaCommand.QUERY: self._query}
            self.result = commands.get(value, self._invalid)()
            self.irq_status |= Irq.COMMAND_DONE
            for window in self.windows:
                window.clear()
        elif Reg.SA_OP0 <= offset < Reg.COUNTERS:
            self.windows[offset >= Reg.SA_OP1][offset & 0xFF] = value

    def _invalid(self) -> SaResult:
        return SaResult.INVALID

    def _add(self) -> SaResult:
        try:
            decoded = [_decode_op(window) for window in self.windows if window.get(0, 0) & 1]
            if not decoded or not self.windows[0].get(0, 0) & 1 or len({tunnel for _, tunnel in decoded}) != 1:
                return SaResult.INVALID
            mode = "tunnel" if decoded[0][1] else "transport"
            bundle = Bundle(mode, tuple(op for op, _ in decoded), _decode_limits(self.windows[0]))
        except ValueError:
            return SaResult.INVALID
        try:
            sa = self.engine.add_sa(bundle)
        except Unsupported:
            return SaResult.UNSUPPORTED
        if None not in self.slots:
            return SaResult.FULL
        slot = self.slots.index(None)
        self.slots[slot] = sa
        self.generations[slot] = self.generations[slot] % 0xFFFF + 1
        self.handle = slot | self.generations[slot] << 16
        return SaResult.OK

    def _find(self, handle: int) -> SecurityAssociation | None:
        slot, generation = handle & 0xFFFF, handle >> 16
        if slot >= len(self.slots) or self.generations[slot] != generation:
            return None
        return self.slots[slot]

    def _delete(self) -> SaResult:
        sa = self._find(self.handle)
        if sa is None:
            return SaResult.BAD_HANDLE
        self.engine.delete_sa(sa)
        self.slots[self.handle & 0xFFFF] = None
        return SaResult.OK

    def _update(self) -> SaResult:
        sa = self._find(self.handle)
        if sa is None:
            return SaResult.BAD_HANDLE
        first = self.windows[0]
        highs = [window.get(0xC, 0) if window.get(0, 0) & 1 else None for window in self.windows]
        try:
            self.engine.update_sa(sa, highs, _decode_limits(first) if first.get(0, 0) >> 31 else None)
        except Unsupported:
            return SaResult.UNSUPPORTED
        except ValueError:
            return SaResult.INVALID
        return SaResult.OK

    def _query(self) -> SaResult:
        if not self.engine.supports("lifetime"):
            return SaResult.UNSUPPORTED
        sa = self._find(self.handle)
        if sa is None:
            return SaResult.BAD_HANDLE
        self.counts = (sa.packets, sa.octets, sa.errors)
        return SaResult.OK

    def _raise_events(self) -> None:
        """Queue what the model's SAs have to tell, under the handles that they have in the table."""
        while self.engine.events:
            event = self.engine.events.popleft()
            slot = self.slots.index(event.sa)
            if len(self.events) == self.event_depth:
                self.events_lost = True
            else:
                self.events.append((slot | self.generations[slot] << 16, event.kinds))
            self.irq_status |= Irq.SA_EVENT

    async def send(self, descriptor: bytes, frame: bytes, error: bool = False) -> None:
        fields = Descriptor.unpack(descriptor)
        sas = []
        for handle in (fields.sa1, fields.sa2):
            sa = None if handle is None else self._find(handle)
            if handle is not None and sa is None:
                sa = SecurityAssociation(_NOBODY, valid=False)
            sas.append(sa)
        result = self.engine.process(
            frame,
            *sas,
            length=fields.length,
            esn_high1=fields.seq_high1,
            esn_high2=fields.seq_high2,
            csum_ip=fields.csum_ip,
            csum_l4=fields.csum_l4,
            csum_start=fields.csum_start,
            csum_offset=fields.csum_offset,
            csum_udp=fields.csum_udp,
            lso=fields.lso,
            input_error=error,
        )
        self._raise_events()
        self._count(frame, result, any(sa is not None for sa in sas) or fields.csum_ip or fields.csum_l4)
        self.completions.append(Completion(fields.cookie, len(frame), result.status).pack())
        if result.frame is not None:
            self.frames.append(result.frame)

    def _count(self, frame, result, handled):
        self.counters["packets_in"] += 1
        self.counters["bytes_in"] += len(frame)
        self.status_counts[result.status] += 1
        if result.frame is None:
            self.irq_status |= Irq.PACKET_DROPPED
        if result.frame is not None:
            self.counters["packets_out"] += 1
            self.counters["bytes_out"] += len(result.frame)
            self.counters["protected" if handled else "bypassed"] += 1

    async def completion(self) -> bytes:
        if not self.completions:
            raise ProtocolError("no completion is left")
        return self.completions.popleft()

    async def frame(self) -> tuple[bytes, bool]:
        if not self.frames:
            raise ProtocolError("no frame is left")
        return self.frames.popleft(), False

    def assert_idle(self) -> None:
        assert not self.completions, f"{len(self.completions)} completions are left over"
        assert not self.frames, f"{len(self.frames)} frames are left over"


#: Stands in for a handle that names nothing.
_NOBODY = Bundle("transport", (Op(protocol="ah", spi=1, auth_alg="hmac-sha1-96", auth_key=bytes(20), icv_len=12),))
