# SPDX-License-Identifier: Apache-2.0
"""Makes the corpus of Linux: boots a kernel as a program, has its IPsec stack protect packets, writes replay cases.

``python -m corpus.linux.make [-o FILE] [--keep DIRECTORY]`` in ``tb``; needs root and
Debian's package ``user-mode-linux``.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from corpus.cases import case
from corpus.linux.plan import scenarios
from corpus.linux.xfrm import policy, state

HERE = Path(__file__).resolve().parent
SEED = 4301
BOOT = ("mem=512M", "root=/dev/root", "rootfstype=hostfs", "rw", "con=null", "con0=fd:0,fd:1", "quiet")


def write_job(job, plan):
    """The guest's files: lines for ``ip``, and the packets to send."""
    lines = []
    with (job / "plan.jsonl").open("w") as file:
        for one in plan:
            sas = [sa for bundle in one["bundles"] for sa in bundle["sas"]]
            lines += [state(sa, one["mark"]) for sa in sas]
            lines.append(policy(one["src"], one["dst"], sas, one["mark"]))
            for n, packet in enumerate(one["packets"]):
                values = {"id": [one["mark"], n], "mark": one["mark"], "spi": sas[-1]["op"]["spi"]}
                file.write(json.dumps(values | packet) + "\n")
    (job / "xfrm.batch").write_text("\n".join(lines) + "\n")


def boot(job):
    command = ["linux", *BOOT, f"init={HERE / 'init.sh'}", f"CORPUS_JOB={job}", f"uml_dir={job}/uml", "umid=corpus"]
    with (job / "console.log").open("w") as console:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=console, check=False, timeout=1800)
    frames = job / "frames.jsonl"
    if not frames.exists():
        sys.exit(f"the guest sent nothing; see {job}/guest.log and console.log")
    return {tuple(values["id"]): values for values in map(json.loads, frames.read_text().splitlines())}


def reassembled(frame):
    """A frame without the IPv6 fragment header of a datagram in one piece (RFC 6946), and any other as it is.

    This kernel sends IPv4 transport mode inside an IPv6 tunnel so: the flag by which IPv4 marks the packet as
    transformed lies where IPv6 keeps the largest fragment seen. The header comes after IPsec and is not covered by it.
    """
    if frame[12:14] != b"\x86\xdd" or frame[20] != 44:
        return frame
    if frame[56:58] != b"\0\0":
        raise ValueError("a fragment")
    length = int.from_bytes(frame[18:20], "big") - 8
    return frame[:18] + length.to_bytes(2, "big") + frame[54:55] + frame[21:54] + frame[62:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=HERE.parent / "linux.jsonl")
    parser.add_argument("--keep", type=Path, help="directory for the guest's files")
    arguments = parser.parse_args()
    job = (arguments.keep or Path(tempfile.mkdtemp(prefix="corpus-"))).absolute()
    job.mkdir(parents=True, exist_ok=True)
    plan = scenarios(SEED)
    write_job(job, plan)
    frames = boot(job)
    stack = (job / "guest.log").read_text().split("\n", 1)[0]
    rng, cases, faults = random.Random(SEED), [], []
    for one in plan:
        for n, packet in enumerate(one["packets"]):
            got = frames.get((one["mark"], n), {"error": "the guest stopped before it"})
            try:
                if "error" in got:
                    raise ValueError(got["error"])
                frame = reassembled(bytes.fromhex(got["frame"]))
                cases.append(case(len(cases) + 1, one["name"], packet["version"], stack, frame, one["bundles"], rng))
            except Exception as error:
                faults.append(f"{one['mark']}.{n} {one['name']}: {type(error).__name__} {error}")
    arguments.output.write_text("".join(json.dumps(one, separators=(",", ":")) + "\n" for one in cases))
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(cases)} cases of {stack} in {arguments.output}, {len(faults)} packets without one")
    print(dict(Counter(one["shape"].split(",")[0] for one in cases)))
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
