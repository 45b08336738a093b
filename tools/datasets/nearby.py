"""Near duplicates by MinHash: rows that share most of their letter runs.

Broder (1997), "On the resemblance and containment of documents". Signatures of 32 hashes over
runs of four letters; bands of two rows propose pairs, and the share of equal hashes estimates
their resemblance (standard error about 0.07 at 0.8).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tools.datasets.groups import UnionFind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signature = NDArray[np.uint32]

HASHES = 32
BAND = 2
RUN = 4
RESEMBLE = 0.8
"""Share of equal hashes from which two rows count as near duplicates."""
MAX_ROWS = 100_000
"""Rows compared; beyond it only the first ones, which is said in the report."""
MAX_CHARACTERS = 4_000
_BUCKET = 50


class NearDuplicates:
    """Collects signatures row by row, then names the rows that resemble an earlier one."""

    def __init__(self) -> None:
        import numpy as np  # noqa: PLC0415 - a tenth of a second, not for `--help`

        self._np = np
        numbers = np.random.default_rng(17)
        # Odd factors: each hash is another order of all the runs of four bytes.
        self._a = numbers.integers(0, 1 << 31, HASHES, dtype=np.uint32) * np.uint32(2) + np.uint32(
            1
        )
        self._b = numbers.integers(0, 1 << 32, HASHES, dtype=np.uint32)
        self._signatures: list[Signature | None] = []

    def see(self, reduced: str) -> None:
        """Take in the next row's `plain` text; too short ones never resemble anything."""
        if len(self._signatures) >= MAX_ROWS:
            return
        self._signatures.append(self._signature(reduced[:MAX_CHARACTERS]))

    def _signature(self, text: str) -> Signature | None:
        if len(text) < 3 * RUN:
            return None
        np = self._np
        letters = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)
        runs = letters[: 1 - RUN].astype(np.uint32)
        for place in range(1, RUN):
            runs = (runs << np.uint32(8)) | letters[place : len(letters) - RUN + 1 + place]
        runs = runs * np.uint32(0x9E3779B1)
        runs ^= runs >> np.uint32(15)
        signature: Signature = (runs[None, :] * self._a[:, None] + self._b[:, None]).min(axis=1)
        return signature

    def pairs(self, resemblance: float = RESEMBLE) -> list[tuple[int, int]]:
        """Return `(earlier, later)` index pairs that resemble each other at least so much."""
        np = self._np
        need = int(np.ceil(resemblance * HASHES))
        found: dict[int, int] = {}
        for band in range(0, HASHES, BAND):
            buckets: dict[bytes, list[int]] = defaultdict(list)
            for index, signature in enumerate(self._signatures):
                if signature is None:
                    continue
                bucket = buckets[signature[band : band + BAND].tobytes()]
                if index not in found:
                    for other in bucket:
                        if np.count_nonzero(self._signatures[other] == signature) >= need:
                            found[index] = other
                            break
                if len(bucket) < _BUCKET:
                    bucket.append(index)
        return [(earlier, later) for later, earlier in sorted(found.items())]

    @property
    def complete(self) -> bool:
        """False once rows were left out."""
        return len(self._signatures) < MAX_ROWS


def join_near(sets: UnionFind, pairs: list[tuple[int, int]], largest: int) -> None:
    """Join near duplicates, but let no group grow beyond `largest` rows.

    In data made from a few patterns nearly everything resembles something; one group of all
    rows could not be split at all.
    """
    sizes: dict[int, int] = defaultdict(int)
    for root in sets.groups():
        sizes[root] += 1
    for one, two in pairs:
        a, b = sets.find(one), sets.find(two)
        if a != b and sizes[a] + sizes[b] <= largest:
            sets.join(a, b)
            root = sets.find(a)
            sizes[root] = sizes[a] + sizes[b]
