# SPDX-License-Identifier: Apache-2.0
"""Random traffic without end, and the golden model that judges it; everything follows from a configuration and a seed.

Most packets are sound and of any shape, suite and size that the build has; the rest are damaged, cut, too long, marked
bad, or sent with the wrong SAs. SAs come and go: there are more of them than any table has slots.
"""

import json
import random
from collections import Counter, deque
from dataclasses import replace

from model.cases import EXTENSIONS, OPTIONS, packet, random_bundle, random_framing
from model.faults import faults, faulty
from nicsec_sim import hoststack
from nicsec_sim.hoststack import Framing
from nicsec_sim.model.engine import Engine
from nicsec_sim.model.sa import Bundle
from nicsec_sim.ndis.checksum import checksum_fields
from nicsec_sim.ndis.nbl import ChecksumInfo
from nicsec_sim.ndis.player import Packet

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
        self._rng = random.Random(seed)
        self._config, self._sizes, self._long = config, sizes, long
        lacking = () if config.checksum else ("csum_ip", "csum_l4")
        self._engine = Engine(encr=config.encr, auth=config.auth, max_frame=config.max_frame, unsupported=lacking)
        self._algorithms = {"encr": config.encr, "auth": config.auth}
        self._recent = {"transport": deque(maxlen=_WORKING_SET // 2), "tunnel": deque(maxlen=_WORKING_SET // 2)}
        self._sas = {}
        # The player keeps an SA with a used-up counter in its slot for good.
        self._spendable = config.sa_slots // 4
        self._waiting = deque()

    def packets(self, count):
        """``count`` packets; what the golden model makes of each is noted as it is taken."""
        for index in range(count):
            one = self._packet()
            self._expect(index, one)
            yield one

    def judge(self, outcome):
        """Compare an outcome with the golden model's; raises `Mismatch`."""
        status, frame, line = self._waiting[0]
        if (outcome.status, outcome.frame) != (status, frame):
            sent, wanted = (data and data.hex() for data in (outcome.frame, frame))
            raise Mismatch(f"packet {outcome.index}: {outcome.status} {sent}, not {status} {wanted}", line())
        self._waiting.popleft()
        self.statuses[status] += 1

    @property
    def oldest(self):
        """The oldest packet without an outcome, as a case of ``nicsec replay``; None when there is none."""
        return self._waiting[0][2]() if self._waiting else None

    def _add(self, bundle):
        name = f"sa{len(self.bundles)}"
        if self._rng.random() < 0.03 and self._spendable and any(op.generates_iv for op in bundle.ops):
            self._spendable -= 1
            first = 2**64 - self._rng.randrange(1, 4)
            bundle = Bundle(bundle.mode, tuple(replace(op, iv_init=first) for op in bundle.ops))
        self.bundles[name] = bundle
        self._sas[name] = self._engine.add_sa(bundle)
        return name

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

    def _frame(self, name1, name2):
        rng = self._rng
        sa1, sa2 = self.bundles[name1], name2 and self.bundles[name2]
        size = rng.choice(self._sizes)
        if self._long and rng.random() < 1 / 30:
            size = rng.randrange(self._config.max_frame)
        inner = packet(rng, rng.choice((4, 6)), size, options=rng.choice(OPTIONS), extensions=rng.choice(EXTENSIONS))
        return hoststack.frame(
            inner, sa1, sa2,
            framing1=random_framing(rng, sa1),
            framing2=random_framing(rng, sa2) if sa2 else Framing(),
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
        before = [sa and list(sa.counters) for sa in sas]
        bundles = [sa.bundle for sa in reversed(sas) if sa]
        request = checksum_fields(one.checksum, one.frame, bundles) if one.checksum else {}
        result = self._engine.process(
            one.frame, *sas, esn_high1=one.esn_high, esn_high2=one.esn_high, input_error=one.error, **request
        )

        def line():
            # As the counters stood, so that the case gives the same IVs alone.
            return json.dumps({
                "id": f"packet {index}", "layer": "ethernet", "frame": one.frame.hex(),
                "sa1": _as_of(sas[0], before[0]), "sa2": _as_of(sas[1], before[1]), "esn_high": one.esn_high,
                "error": one.error, "checksum": one.checksum,
            })

        self._waiting.append((result.status.text, result.frame, line))


def _as_of(sa, counters):
    if sa is None:
        return None
    ops = (replace(op, iv_init=min(count, 2**64 - 1)) for op, count in zip(sa.bundle.ops, counters, strict=True))
    return Bundle(sa.bundle.mode, tuple(ops)).to_json()
