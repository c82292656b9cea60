# SPDX-License-Identifier: Apache-2.0
"""Checksum insertion ahead of encryption: the RTL against the model, frames with and without handles."""

from model.cases import random_case, rng_for
from nicsec.config import PRESETS
from nicsec_sim.ndis.nbl import ChecksumInfo
from nicsec_sim.ndis.player import Packet
from nicsec_sim.session import run

CONFIG = PRESETS["basic"]
PACKETS = 80


def test_checksums_on_verilator():
    rng = rng_for(31)
    bundles, packets = {}, []
    for number in range(PACKETS):
        case = random_case(rng, sizes=(0, 1, 2, 3, 20, 41, 333), encr=CONFIG.encr, auth=CONFIG.auth)
        names = []
        for which, bundle in enumerate((case.sa1, case.sa2)):
            names.append(f"{number}.{which}" if bundle else None)
            if bundle:
                bundles[names[-1]] = bundle
        if rng.random() < 0.2:
            names = [None, None]
        info = ChecksumInfo(
            TcpChecksum=rng.random() < 0.3, UdpChecksum=rng.random() < 0.5, IpHeaderChecksum=rng.random() < 0.6
        )
        packets.append(Packet(case.frame, names[0], names[1], checksum=info.pack()))
    expected = run(CONFIG, bundles, packets, sim="model").outcomes
    assert sum(outcome.status == "success" for outcome in expected) > PACKETS // 2
    assert any(outcome.frame not in (None, packet.frame) for outcome, packet in zip(expected, packets, strict=True)
               if packet.sa1 is None)
    found = run(CONFIG, bundles, packets, sim="verilator", seed=31).outcomes
    for number, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        assert (ours.status, ours.frame) == (theirs.status, theirs.frame), number
