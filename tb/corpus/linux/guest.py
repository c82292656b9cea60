# SPDX-License-Identifier: Apache-2.0
"""Inside the guest: sends each packet of the plan and keeps the frame that the kernel made of it.

``plan.jsonl`` in the directory given holds one packet a line: ``id``, ``mark`` (chooses the policy), ``spi`` (of the
outermost SA) and what to send. ``frames.jsonl`` gets ``{"id", "frame"}``, or ``"error"`` in place of the frame. Only
the standard library is used: this runs on the distribution's Python.
"""

import json
import socket
import sys
import time
from pathlib import Path

SO_MARK = 36
ETH_P_ALL = 3
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2
IPV6_TCLASS, IPV6_HDRINCL = 67, 36
PATIENCE = 0.5


def drain(tap):
    tap.setblocking(False)
    try:
        while True:
            tap.recv(65536)
    except BlockingIOError:
        pass


def open_socket(packet):
    family = socket.AF_INET if packet["version"] == 4 else socket.AF_INET6
    kind = packet["kind"]
    if kind == "udp":
        sock = socket.socket(family, socket.SOCK_DGRAM)
    elif kind == "tcp":
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
    elif kind == "raw":
        sock = socket.socket(family, socket.SOCK_RAW, packet["protocol"])
    else:
        sock = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
        if packet["version"] == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_HDRINCL, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_MARK, packet["mark"])
    if packet.get("tos") and kind != "whole":
        level, name = (socket.IPPROTO_IP, socket.IP_TOS) if packet["version"] == 4 else (41, IPV6_TCLASS)
        sock.setsockopt(level, name, packet["tos"])
    if packet["version"] == 4:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    if packet.get("options"):
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes.fromhex(packet["options"]))
    return sock


def send(packet):
    sock = open_socket(packet)
    try:
        if packet["kind"] in ("udp", "tcp"):
            sock.bind((packet["src"], packet["sport"]))
        elif packet["kind"] == "raw":
            sock.bind((packet["src"], 0))
        if packet["kind"] == "tcp":
            try:
                sock.connect((packet["dst"], packet["dport"]))
            except BlockingIOError:
                pass
        else:
            sock.sendto(bytes.fromhex(packet["data"]), (packet["dst"], packet.get("dport", 0)))
    finally:
        sock.close()


def capture(tap, spi):
    """The frame with ``spi`` in it: SPIs differ from plan line to plan line, and no other traffic holds one."""
    end = time.monotonic() + PATIENCE
    while (left := end - time.monotonic()) > 0:
        tap.settimeout(left)
        try:
            frame = tap.recv(65536)
        except TimeoutError:
            break
        if spi in frame:
            return frame
    raise TimeoutError("no frame left")


def main(job):
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    tap.bind(("d0", 0))
    with (job / "plan.jsonl").open() as plan, (job / "frames.jsonl").open("w") as frames:
        for line in plan:
            packet = json.loads(line)
            drain(tap)
            try:
                send(packet)
                result = {"frame": capture(tap, packet["spi"].to_bytes(4, "big")).hex()}
            except OSError as error:
                result = {"error": str(error)}
            frames.write(json.dumps({"id": packet["id"], **result}) + "\n")


main(Path(sys.argv[1]))
