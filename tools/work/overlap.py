"""Rows that nearly repeat a row the model was trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import islice

import numpy as np
import numpy.typing as npt

from tools.datasets.nearby import (
    BAND,
    HASHES,
    MAX_CHARACTERS,
    MAX_ROWS,
    RESEMBLE,
    NearDuplicates,
)

_BUCKET = 50
Signature = npt.NDArray[np.uint32]


class Overlap(NearDuplicates):
    """Signatures of the training rows, looked up by those of other rows.

    By the same measure as the near duplicates within one file; see `tools.datasets.nearby`. Of
    very large training sets only the first rows are looked at.
    """

    def __init__(self, trained: Iterable[str]) -> None:
        super().__init__()
        self._signatures = [self._sign(text) for text in islice(trained, MAX_ROWS)]
        self._need = int(np.ceil(RESEMBLE * HASHES))
        self._buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
        for index, signature in enumerate(self._signatures):
            if signature is None:
                continue
            for band in range(0, HASHES, BAND):
                bucket = self._buckets[band, signature[band : band + BAND].tobytes()]
                if len(bucket) < _BUCKET:
                    bucket.append(index)

    def resembles(self, text: str) -> bool:
        """Return whether a training row resembles this text."""
        signature = self._sign(text)
        if signature is None:
            return False
        for band in range(0, HASHES, BAND):
            for other in self._buckets.get((band, signature[band : band + BAND].tobytes()), ()):
                if np.count_nonzero(self._signatures[other] == signature) >= self._need:
                    return True
        return False

    def _sign(self, text: str) -> Signature | None:
        # Unlike within one file, numbers count: "12 + 5" is another question than "3 + 4".
        return self._signature(" ".join(text[:MAX_CHARACTERS].casefold().split()))
