# SPDX-License-Identifier: Apache-2.0
"""Descriptor and completion as they cross the engine's ports (docs/design.md sections 2 and 3)."""

from amaranth.lib import data

from .algorithm import Status

__all__ = ["Completion", "Descriptor"]


class Descriptor(data.Struct):
    """One per frame, ahead of it; least significant field first."""

    length: 16
    sa1_valid: 1
    sa2_valid: 1
    seq_high1_valid: 1
    seq_high2_valid: 1
    csum_ip: 1
    csum_l4: 1
    lso: 1
    csum_udp: 1
    reserved: 8
    sa1: 32
    sa2: 32
    csum_start: 16
    csum_offset: 16
    seq_high1: 32
    seq_high2: 32
    cookie: 64


assert Descriptor.as_shape().size == 256


class Completion(data.Struct):
    """One per descriptor, in order."""

    cookie: 64
    length: 16
    status: Status
    reserved: 40


assert Completion.as_shape().size == 128
