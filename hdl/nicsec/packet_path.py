# SPDX-License-Identifier: Apache-2.0
"""The ports of lanes, or of a pool in their place."""

from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .activity import Activity
from .job import JobLayout, VerdictLayout
from .sa_layout import SA_ROW_WIDTH, RowRequest
from .share import CryptoUser
from .stream import BeatLayout

__all__ = ["PacketPath"]


class PacketPath(wiring.Signature):
    """Jobs and frames in, verdicts and frames out, in one order; In and Out as the lanes or the pool have them.

    Parameters
    ----------
    config : Config

    Members
    -------
    job : In(stream of JobLayout)
        One per frame, in the order of the frames.
    i : In(stream of BeatLayout(config.data_width))
    verdict : Out(stream of VerdictLayout)
        One per job.
    o : Out(stream of BeatLayout(config.data_width))
        The frames whose verdict was success, behind their verdicts.
    row_req, row_rsp : streams
        Rows of the SA table.
    setup : In(CryptoUser)
        Key set-up, which borrows crypto units.
    activity : Out(Activity)
        With utilisation.
    """

    def __init__(self, config):
        beats = stream.Signature(BeatLayout(config.data_width))
        super().__init__({
            "job": In(stream.Signature(JobLayout(config))),
            "i": In(beats),
            "verdict": Out(stream.Signature(VerdictLayout(config))),
            "o": Out(beats),
            "row_req": Out(stream.Signature(RowRequest(config))),
            "row_rsp": In(stream.Signature(SA_ROW_WIDTH)),
            "setup": In(CryptoUser(config)),
            **({"activity": Out(Activity(config))} if config.utilisation else {}),
        })
