# SPDX-License-Identifier: Apache-2.0
"""Random traffic without end, and the golden model that judges it; everything follows from a configuration and a seed.

Most packets are sound and of any shape, suite and size that the build has; the rest are damaged, cut, too long, marked
bad, or sent with the wrong SAs. IVs from frames rise but for a small share. SAs come and go: there are more of them
than any table has slots. Between packets they are updated, or deleted with packets in flight; lifetimes end. What the
SAs counted and told is compared at the end.
"""

import json
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from model.cases import EXTENSIONS, OPTIONS, packet, random_bundle, random_framing
from model.faults import faults, faulty
from nicsec_sim import hoststack
from nicsec_sim.hoststack import Framing
from nicsec_sim.model.engine import Engine
from nicsec_sim.model.sa import Bundle, Limits
from nicsec_sim.ndis.checksum import checksum_fields
from nicsec_sim.ndis.device import SaCounts
from nicsec_sim.ndis.fake import lacking_features
from nicsec_sim.ndis.nbl import ChecksumInfo
from nicsec_sim.ndis.player import Delete, Packet, Update

__all__ = ["Mismatch", "Traffic"]

SIZES = (0, 1, 2, 3, 15, 16, 17, 40, 64, 100, 333, 700, 1400)
#: SAs that packets are drawn for; beyond that the oldest is not sent with again, and its slot goes to another.
_WORKING_SET = 40
#: What `model.faults.faulty` uses.
_FAULTY = {"aes-cbc", "aes-gcm", "hmac-sha1-96", "hmac-sha256-128"}


class Mismatch(Exception):
    """The engine did not do what the golden model did; ``line`` is the packet as a case of ``nicsec replay``."""

    def __init__(self, text, line):
        super().__init__(text)
        self.line = line


class Traffic:
    """Packets for ``nicsec_sim.ndis.play`` and the judge of their outcomes.

    Parameters
    ----------
    config : nicsec.config.Config
    seed : int
    sizes : sequence of int
        Bytes of UDP payload; with ``long``, one packet in 30 is of any length up to beyond the longest frame.
    """

    def __init__(self, config, seed, *, sizes=SIZES, long=True):
        self.bundles = {}
        self.statuses = Counter()
        self.changes = Counter()
        self._rng = random.Random(seed)
        self._config, self._sizes, self._long = config, sizes, long
        lacking = lacking_features(config)
        self._lifetimes = "lifetime" not in lacking
        self._engine = Engine(encr=config.encr, auth=config.auth, max_frame=config.max_frame, unsupported=lacking)
        self._algorithms = {"encr": config.encr, "auth": config.auth}
        self._recent = {"transport": deque(maxlen=_WORKING_SET // 2), "tunnel": deque(maxlen=_WORKING_SET // 2)}
        self._sas = {}
        self._names = {}
        # The player keeps an SA with a used-up counter, or an ended lifetime, in its slot until it is deleted.
        self._spendable = config.sa_slots // 4
        self._spent = {}
        # SAs to be deleted with packets in flight: how many packets of theirs come before that.
        self._doomed = {}
        self._gone = set()
        self._waiting = deque()

    def packets(self, count):
        """``count`` packets, with changes of SAs between them; the golden model judges each as it is taken."""
        for index in range(count):
            for change in self._changes():
                self.changes[type(change).__name__.lower()] += 1
                yield change
            one = self._packet()
            self._expect(index, one)
            yield one

    def judge(self, outcome):
        """Compare an outcome with the golden model's; raises `Mismatch`."""
        waiting = self._waiting[0]
        status, frame = waiting.status, waiting.frame
        if waiting.deleted and (outcome.status, outcome.frame) == ("bad_handle", None):
            # It was in flight when its SA was deleted; those behind it must be refused too.
            self._gone.add(waiting.deleted)
        elif (outcome.status, outcome.frame) != (status, frame) or waiting.deleted in self._gone:
            sent, wanted = (data and data.hex() for data in (outcome.frame, frame))
            raise Mismatch(f"packet {outcome.index}: {outcome.status} {sent}, not {status} {wanted}", waiting.line())
        self._waiting.popleft()
        self.statuses[outcome.status] += 1

    def audit(self, ledger):
        """Compare what the SAs counted and told with the golden model's; raises `Mismatch`."""
        if not self._lifetimes:
            return
        for name, sa in self._sas.items():
            counts = ledger.counts.get(name, SaCounts())
            # What was in flight when an SA was deleted may have counted or not.
            if name not in self._doomed and counts != SaCounts(sa.packets, sa.octets, sa.errors):
                wanted = SaCounts(sa.packets, sa.octets, sa.errors)
                raise Mismatch(f"{name} ({sa.bundle.limits}) has {counts}, not {wanted}", None)
        wanted = [(self._names[event.sa], event.kinds) for event in self._engine.events]
        told = iter(wanted) if ledger.lost else None
        if ledger.events != wanted and not (told and all(event in told for event in ledger.events)):
            raise Mismatch(f"the events are {ledger.events}, not {wanted}", None)

    @property
    def summary(self):
        """Completions by status, how many SAs there were, and the changes of them by kind."""
        return {"statuses": dict(self.statuses), "sas": len(self.bundles), "changes": dict(self.changes)}

    @property
    def oldest(self):
        """The oldest packet without an outcome, as a case of ``nicsec replay``; None when there is none."""
        return self._waiting[0].line() if self._waiting else None

    def _add(self, bundle):
        name = f"sa{len(self.bundles)}"
        rng = self._rng
        if rng.random() < 0.05:
            first = 2**64 - rng.randrange(1, 4)
            ops = (replace(op, iv_init=first) if op.generates_iv else op for op in bundle.ops)
            bundle = replace(bundle, ops=tuple(ops))
        if self._lifetimes and rng.random() < 0.15:
            bundle = replace(bundle, limits=self._limits())
        self.bundles[name] = bundle
        self._sas[name] = sa = self._engine.add_sa(bundle)
        self._names[sa] = name
        return name

    def _limits(self, packets=0, octets=0):
        """Limits that are soon reached by an SA that has counted so much, some of them none."""
        rng = self._rng
        return Limits(**{
            name: base + rng.randrange(1, span) if rng.random() < 0.5 else 0
            for name, base, span in (("soft_packets", packets, 6), ("hard_packets", packets, 12),
                                     ("soft_bytes", octets, 3000), ("hard_bytes", octets, 9000))
        })

    def _changes(self):
        """What happens to SAs ahead of the next packet."""
        rng = self._rng
        for name in [name for name, left in self._doomed.items() if left == 0]:
            self._doomed[name] = -1
            for waiting in self._waiting:
                if waiting.alone == name:
                    waiting.deleted = name
            self._engine.delete_sa(self._sas[name])
            yield Delete(name, wait=False)
        while len(self._spent) > self._spendable:
            name = next(iter(self._spent))
            del self._spent[name]
            for recent in self._recent.values():
                # Some go on being sent with.
                if name in recent and rng.random() < 0.7:
                    recent.remove(name)
            self._engine.delete_sa(self._sas[name])
            yield Delete(name)
        if rng.random() < 0.08 and (name := self._any()):
            sa = self._sas[name]
            ops = [n for n, op in enumerate(sa.bundle.ops) if op.esn]
            if ops:
                n, high = rng.choice(ops), rng.choice((0, 1, rng.getrandbits(32)))
                self._engine.update_sa(sa, [high if k == n else None for k in range(n + 1)])
                yield Update(name, sa.bundle.ops[n].protocol, sa.bundle.ops[n].spi, high)
        if self._lifetimes and rng.random() < 0.02 and (name := self._any()):
            sa = self._sas[name]
            limits = self._limits(sa.packets, sa.octets)
            self._engine.update_sa(sa, limits=limits)
            yield Update(name, limits=limits)

    def _any(self):
        """An SA that packets are drawn for and that may be changed; None if there is none."""
        names = [name for recent in self._recent.values() for name in recent
                 if self._sas[name].valid and name not in self._doomed and name not in self._spent]
        return self._rng.choice(names) if names else None

    def _sa(self, mode):
        recent = self._recent[mode]
        if recent and self._rng.random() < 0.6:
            return self._rng.choice(recent)
        shape = None if self._config.auth else "esp"
        recent.append(self._add(random_bundle(self._rng, mode, shape=shape, **self._algorithms)))
        return recent[-1]

    def _packet(self):
        rng = self._rng
        if rng.random() < 0.06 and {*self._config.encr, *self._config.auth} >= _FAULTY:
            one = faulty(rng, rng.choice((4, 6)), rng.choice((4, 6)), udp_encap=rng.random() < 0.3,
                         esn=rng.random() < 0.3, iv=rng.choice(("frame", "generate")))
            fault = rng.choice([*faults(one), None])
            return Packet(fault.broken(one.frame) if fault else one.frame, self._add(one.sa1), self._add(one.sa2))
        if rng.random() < 0.06:
            return self._doomed_packet()
        names = [self._sa(rng.choice(("transport", "tunnel"))), self._sa("tunnel") if rng.random() < 0.3 else None]
        frame = self._frame(*names)
        error, checksum = False, 0
        if rng.random() < 0.15:
            frame, names, error = self._damage(frame, names)
        elif rng.random() < 0.04:
            names = [None, None]
        if self._config.checksum and rng.random() < 0.2:
            flags = {name: rng.random() < 0.5 for name in ("TcpChecksum", "UdpChecksum", "IpHeaderChecksum")}
            checksum = ChecksumInfo(**flags).pack()
        high = rng.choice((None, None, 0, 1, rng.getrandbits(32)))
        return Packet(frame, *names, esn_high=high, error=error, checksum=checksum)

    def _doomed_packet(self):
        """A sound packet for one SA that will be deleted while some of its packets are in flight, or was already."""
        rng = self._rng
        names = [name for name, left in self._doomed.items() if left > 0 or (left == -1 and rng.random() < 0.2)]
        if names:
            name = rng.choice(names[-3:])
        else:
            shape = None if self._config.auth else "esp"
            bundle = random_bundle(rng, "transport", shape=shape, **self._algorithms)
            name = f"sa{len(self.bundles)}"
            self.bundles[name] = bundle
            self._sas[name] = sa = self._engine.add_sa(bundle)
            self._names[sa] = name
            self._doomed[name] = rng.randrange(1, 5)
        if self._doomed[name] > 0:
            self._doomed[name] -= 1
        return Packet(self._frame(name, None), name)

    def _ivs(self, name):
        """IVs for a packet's ops that must rise, in the SA or both; most do."""
        rng, sa = self._rng, self._sas[name]
        low = max((count for count, op in zip(sa.counters, sa.bundle.ops, strict=True) if op.judges_iv), default=0)
        kind = rng.random()
        if kind < 0.06:
            value = rng.randrange(low) if low else 0
        elif kind < 0.065:
            value = 2**64 - 1
        else:
            value = min(low + rng.choice((0, 0, 0, 1, 2, 1000, 1 << 32)), 2**64 - 1)
        iv = value.to_bytes(8, "big")
        return {field: iv for field, op in (("iv", sa.bundle.esp), ("ah_iv", sa.bundle.ah)) if op and op.judges_iv}

    def _frame(self, name1, name2):
        rng = self._rng
        sa1, sa2 = self.bundles[name1], name2 and self.bundles[name2]
        size = rng.choice(self._sizes)
        if self._long and rng.random() < 1 / 30:
            size = rng.randrange(self._config.max_frame)
        inner = packet(rng, rng.choice((4, 6)), size, options=rng.choice(OPTIONS), extensions=rng.choice(EXTENSIONS))
        return hoststack.frame(
            inner, sa1, sa2,
            framing1=replace(random_framing(rng, sa1), **self._ivs(name1)),
            framing2=replace(random_framing(rng, sa2), **self._ivs(name2)) if sa2 else Framing(),
            vlan=tuple(rng.getrandbits(16) for _ in range(rng.choice((0, 0, 1, 2)))),
            min_length=rng.choice((0, 0, 60, 128)),
        )

    def _damage(self, frame, names):
        """The frame or its handles changed in one of many ways, and whether to mark it bad."""
        rng, data, error = self._rng, bytearray(frame), False
        kind = rng.choice(("flip", "flip", "flip", "cut", "tail", "noise", "swap", "other", "same", "mark"))
        if kind == "flip":
            for _ in range(rng.randrange(1, 4)):
                data[rng.randrange(12, min(len(data), 160))] ^= 1 << rng.randrange(8)
        elif kind == "cut":
            del data[rng.randrange(1, len(data)) :]
        elif kind == "tail":
            data += rng.randbytes(rng.randrange(1, 80))
        elif kind == "noise":
            data = bytearray(rng.randbytes(rng.randrange(1, 200)))
        elif kind == "swap":
            names = names[::-1]
        elif kind == "other":
            names = [self._sa(rng.choice(("transport", "tunnel"))), names[1]]
        elif kind == "same":
            names = [names[0], names[0]]
        else:
            error = True
        return bytes(data), names, error

    def _expect(self, index, one):
        names = (one.sa1, one.sa2)
        sas = [self._sas[name] if name else None for name in names]
        before = [sa and _as_of(sa) for sa in sas]
        bundles = [sa.bundle for sa in reversed(sas) if sa]
        request = checksum_fields(one.checksum, one.frame, bundles) if one.checksum else {}
        result = self._engine.process(
            one.frame, *sas, esn_high1=one.esn_high, esn_high2=one.esn_high, input_error=one.error, **request
        )

        def line():
            # As the counters stood, so that the case gives the same IVs alone.
            return json.dumps({
                "id": f"packet {index}", "layer": "ethernet", "frame": one.frame.hex(),
                "sa1": before[0] and before[0].to_json(), "sa2": before[1] and before[1].to_json(),
                "esn_high": one.esn_high,
                "error": one.error, "checksum": one.checksum,
            })

        alone = one.sa1 if one.sa2 is None else None
        self._waiting.append(_Waiting(result.status.text, result.frame, line, alone))
        for name, sa in zip(names, sas, strict=True):
            if name and sa.valid and _is_spent(sa):
                self._spent[name] = True


@dataclass
class _Waiting:
    """A packet without an outcome: what is expected, the SA that it names alone, and that SA if it is deleted since."""

    status: str
    frame: bytes | None
    line: Callable[[], str]
    alone: str | None
    deleted: str | None = None


def _is_spent(sa):
    """Whether the SA can not be loaded again as it stands."""
    used_up = any(count >= 2**64 for count, op in zip(sa.counters, sa.bundle.ops, strict=True)
                  if op.generates_iv or op.judges_iv)
    return used_up or sa.limits.expired(sa.packets, sa.octets)


def _as_of(sa):
    """The SA's bundle with counters, high halves and limits as they stand; of what is over, something is left."""
    ops = tuple(
        replace(op, iv_init=min(count, 2**64 - 1), esn_high=high if op.esn else op.esn_high)
        for op, count, high in zip(sa.bundle.ops, sa.counters, sa.highs, strict=True)
    )
    used = {"packets": sa.packets, "bytes": sa.octets}
    limits = Limits(**{name: max(1, value - used[name.partition("_")[2]]) if value else 0
                       for name, value in vars(sa.limits).items()})
    return Bundle(sa.bundle.mode, ops, limits)
