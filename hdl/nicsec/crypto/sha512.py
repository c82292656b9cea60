# SPDX-License-Identifier: Apache-2.0
"""SHA-512 and SHA-384 (FIPS 180-4, 6.4 and 6.5)."""

from .sha256 import Sha2, cube_roots, square_roots

__all__ = ["Sha512"]


def _halves(words):
    return tuple(half for word in words for half in (word >> 32, word & 0xFFFFFFFF))


class Sha512(Sha2):
    """SHA-512 compression; streams and timing are those of :class:`HashCore`. A block takes 104 cycles.

    SHA-384 differs in the initial value, and its digest is the first 12 words of the state.
    """

    #: Initial hash values (FIPS 180-4, 5.3.5 and 5.3.4), high halves first.
    IV = _halves(square_roots(8, 64))
    IV_384 = _halves(square_roots(8, 64, skip=8))

    WIDTH = 64
    STATE_WORDS = 16
    BLOCK_WORDS = 32
    ROUNDS = 80

    K = cube_roots(80, 64)
    SUM0, SUM1 = (28, 34, 39), (14, 18, 41)
    SIGMA0, SIGMA1 = (1, 8, 7), (19, 61, 6)
