"""The photographs of a split on their way to the device: resident on a GPU where they fit, else read from the map."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from semiretina.data.image import Box

Rows = npt.NDArray[np.int64]
SHARE_OF_GPU_FOR_PHOTOGRAPHS = 0.5


class Pixels:
    """The photographs of a split on their way to the device: `take(rows)` gives uint8 [n, size, size, 3] there."""

    def __init__(
        self,
        stored: npt.NDArray[np.uint8],
        cache_rows: Rows,
        device: torch.device,
        boxes: Sequence[Box | None] = (),
    ) -> None:
        """`stored` is the cache's memory map, `cache_rows` [n] the cache row of each split row (-1: never taken).

        `boxes` [n] are the crop boxes of the split rows, for masks that follow them.
        """
        self.stored, self.cache_rows, self.device, self.boxes = stored, cache_rows, device, boxes
        self.resident: Tensor | None = None
        used = cache_rows[cache_rows >= 0]
        if (
            device.type == "cuda"
            and len(used) * stored[0].nbytes < SHARE_OF_GPU_FOR_PHOTOGRAPHS * torch.cuda.mem_get_info()[0]
        ):
            # Uploaded in pieces: the host never holds a second copy of the data set.
            self.resident_rows = np.full(len(stored), -1, np.int64)
            distinct = np.unique(used)
            self.resident_rows[distinct] = np.arange(len(distinct))
            self.resident = torch.empty((len(distinct), *stored.shape[1:]), dtype=torch.uint8, device=device)
            for start in range(0, len(distinct), 256):
                self.resident[start : start + 256] = torch.from_numpy(stored[distinct[start : start + 256]])

    @property
    def size(self) -> int:
        """The side of a photograph in pixels."""
        return int(self.stored.shape[1])

    def box(self, row: int) -> Box:
        """The part of the original that the photograph of this split row shows."""
        box = self.boxes[row]
        assert box is not None, "a photograph without pixels has no crop box"
        return box

    def read(self, rows: Rows) -> Tensor:
        """The rows as they will be sent to the device: a host tensor, or indices into what already lies there."""
        rows_of_cache = self.cache_rows[rows]
        assert (rows_of_cache >= 0).all(), "a photograph without pixels was given a role"
        if self.resident is not None:
            return torch.from_numpy(self.resident_rows[rows_of_cache])
        pixels = torch.from_numpy(self.stored[rows_of_cache])
        return pixels.pin_memory() if self.device.type == "cuda" else pixels

    def send(self, read: Tensor) -> Tensor:
        """What `read` gave, as uint8 [n, size, size, 3] on the device."""
        sent = read.to(self.device, non_blocking=True)
        return self.resident[sent] if self.resident is not None else sent

    def take(self, rows: Rows) -> Tensor:
        """The photographs of these split rows on the device, uint8 [n, size, size, 3]."""
        return self.send(self.read(rows))
