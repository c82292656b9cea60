# SPDX-License-Identifier: Apache-2.0
"""Makes the corpus of DPDK: its librte_ipsec protects packets, on the OpenSSL device and on Intel's multi-buffer one.

``python -m corpus.dpdk.make [-o FILE]`` in ``tb``; needs a C compiler and Debian's packages ``libdpdk-dev`` and
``pkg-config``. No huge pages, no device and no privileges. Nothing in it is random: it gives the same file again.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from itertools import cycle, product
from pathlib import Path

from corpus.cases import case
from corpus.linux.plan import AEAD_ICVS, AEAD_SUITES, ENDS, ESP_SUITES, Plan
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

HERE = Path(__file__).resolve().parent
SEED = 4303
ETHER = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
EAL = ("--no-huge", "-m", "256", "--no-pci", "--no-telemetry", "-l", "0", "--log-level", "error")
#: What the OpenSSL device lacks, beside GCM with a short ICV; the library has no DES.
MULTI_BUFFER = {"null", "chacha20-poly1305", "aes-xcbc-96", "aes-cmac-96"}


def compile_program(directory):
    flags = [subprocess.run(["pkg-config", kind, "libdpdk"], capture_output=True, text=True, check=True).stdout.split()
             for kind in ("--cflags", "--libs")]
    program = directory / "protect"
    subprocess.run(["cc", "-O1", "-DALLOW_EXPERIMENTAL_API", *flags[0], str(HERE / "protect.c"), "-o", str(program),
                    *flags[1]], check=True)
    return program


def tunnel_header(version, ends, protocol):
    source, destination = ends
    if version == 4:
        return Ether(**ETHER, type=0x800) / IP(src=source, dst=destination, ttl=64, id=0, proto=protocol)
    return Ether(**ETHER, type=0x86DD) / IPv6(src=source, dst=destination, hlim=64, nh=protocol, plen=0)


def clear_packet(rng, version, size):
    """UDP, TCP or nothing known, as bytes from Ethernet on."""
    source, destination = ENDS[version, 0]
    if version == 4:
        ip = IP(src=source, dst=destination, id=rng.randrange(65536), tos=rng.randrange(256),
                flags=rng.choice(("", "DF")), ttl=rng.randrange(2, 256), proto=253)
    else:
        ip = IPv6(src=source, dst=destination, tc=rng.randrange(256), fl=rng.randrange(1 << 20), nh=253)
    start = rng.randrange(256)
    data = Raw(bytes((start + n) % 256 for n in range(size)))
    upper = rng.choice((UDP(sport=4660, dport=rng.randrange(1, 4500)), TCP(sport=4660, dport=80, flags="PA"), None))
    head = Ether(**ETHER) / ip
    if upper is not None:
        setattr(ip, "proto" if version == 4 else "nh", 17 if isinstance(upper, UDP) else 6)
        head = Ether(**ETHER) / ip / upper
    return bytes(head / data) if size else bytes(head)


def job(number, sa, inner, outer, packet):
    """A line for the program; the first sequence number is the one behind the SA's counter."""
    op = sa["op"]
    sequence = (sa.get("oseq_high", 0) << 32 | sa["oseq"]) + 1
    header = "-"
    if sa["mode"] == "tunnel":
        protocol = 17 if op.get("udp_encap") else 50
        header = bytes(tunnel_header(outer, (sa["src"], sa["dst"]), protocol)).hex()
    words = [number, sa["mode"], inner, outer, int(bool(op.get("esn"))), sa.get("sport", 0), op["spi"], sequence,
             op["encr_alg"], op["encr_key"] or "-", op.get("salt") or "-", op.get("auth_alg") or "-",
             op.get("auth_key") or "-", op["icv_len"], header, packet.hex()]
    return " ".join(map(str, words))


def protect(program, jobs):
    """Frames by number, of ``(number, device, line)``; raises ``ValueError`` for what the program did not do."""
    frames = {}
    for device in sorted({device for _, device, _ in jobs}):
        text = "".join(line + "\n" for _, which, line in jobs if which == device)
        done = subprocess.run([str(program), *EAL, "--vdev", device], input=text, capture_output=True, text=True,
                              timeout=600)
        for line in done.stdout.splitlines():
            number, frame = line.split(" ", 1)
            if not number.isdigit():
                continue
            if frame.startswith("!"):
                line = next(line for which, _, line in jobs if which == int(number))
                raise ValueError(f"{device}: {frame[2:]}: {line[:300]}")
            frames[int(number)] = bytes.fromhex(frame)
    if missing := {number for number, _, _ in jobs} - set(frames):
        raise ValueError(f"no answer for {sorted(missing)}: {done.stderr}")
    return frames


def device(suite):
    names = {suite[0]} | ({suite[2][0]} if suite[0] not in AEAD_ICVS else set())
    short = suite[0] == "aes-gcm" and suite[2] < 16
    return "crypto_aesni_mb" if short or names & MULTI_BUFFER else "crypto_openssl"


def make_plan():
    """(name, bundle, inner version, outer version, size, device, whether a tunnel goes around it)."""
    plan = Plan(SEED)
    suites = [suite for suite in ESP_SUITES + AEAD_SUITES if suite[0] != "des-cbc"]
    shapes = cycle(product((4, 6), ("transport", "tunnel"), (4, 6)))
    for n, suite in enumerate(suites * 2):
        inner, mode, outer = next(shapes)
        outer = inner if mode == "transport" else outer
        size = plan.rng.choice((0, 1, plan.rng.randrange(150), plan.rng.randrange(600)))
        if n % 20 == 0:
            size = plan.rng.randrange(8800, 9200)
        udp = mode == "tunnel" and n % 3 == 0
        # GMAC with ESN: this library hashes the high half behind the payload, RFC 4543 section 3.3 behind the SPI.
        esn = n % 2 == 0 and suite[0] != "aes-gmac"
        sa = plan.sa("esp", suite, mode, ENDS[outer, int(mode == "tunnel")], esn=esn, udp=udp)
        name = f"{'udp-' * udp}esp {mode}" + ", large" * (size > 8000)
        yield name, {"mode": mode, "sas": [sa]}, inner, outer, size, device(suite), n % 8 == 1


def around(rng):
    """A tunnel for a second pass over what the first made."""
    plan = Plan(rng.randrange(1 << 30))
    suite, outer = plan.rng.choice(AEAD_SUITES), plan.rng.choice((4, 6))
    sa = plan.sa("esp", suite, "tunnel", ENDS[outer, 2], esn=False if suite[0] == "aes-gmac" else None)
    return {"mode": "tunnel", "sas": [sa]}, outer, device(suite)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=HERE.parent / "dpdk.jsonl")
    arguments = parser.parse_args()
    version = subprocess.run(["pkg-config", "--modversion", "libdpdk"], capture_output=True, text=True, check=True)
    rng, plan, jobs, cases = random.Random(SEED), list(make_plan()), [], []
    with tempfile.TemporaryDirectory() as directory:
        program = compile_program(Path(directory))
        for n, (_, bundle, inner, outer, size, which, _) in enumerate(plan):
            jobs.append((n, which, job(n, bundle["sas"][0], inner, outer, clear_packet(rng, inner, size))))
        frames, second = protect(program, jobs), {}
        for n, (*_, nested) in enumerate(plan):
            if nested:
                second[n] = around(rng)
        again = protect(program, [(n, which, job(n, bundle["sas"][0], plan[n][3], outer, frames[n]))
                                  for n, (bundle, outer, which) in second.items()])
    for n, (name, bundle, inner, _, _, _, _) in enumerate(plan):
        bundles, frame = [bundle], frames[n]
        if n in second:
            bundles, frame, name = [bundle, second[n][0]], again[n], f"{name} in esp tunnel"
        cases.append(case(n + 1, name, inner, f"DPDK {version.stdout.strip()}", frame, bundles, rng))
    arguments.output.write_text("".join(json.dumps(one, separators=(",", ":")) + "\n" for one in cases))
    print(f"{len(cases)} cases in {arguments.output}")


if __name__ == "__main__":
    sys.exit(main())
