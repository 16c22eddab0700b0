"""`PictureStack`: many pictures as bytes in memory, which become numbers batch by batch.

A network takes colours as (B, 4, H, W) float32: red, green and blue in [0, 1], and the mask. Held like that, even as
float16, grey pictures take eight times the memory of their bytes. A stack holds one byte a pixel of a grey picture and
three of a colour picture, and one bit of its mask if any pixel of any picture is unmeasured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from fer3d.errors import ArgumentError

_WHITE = 255.0  # of a byte: the colour 1


@dataclass(frozen=True, eq=False)
class PictureStack:
    """N pictures that are read like a tensor (N, 4, H, W) of float16: red, green, blue and the mask.

    Attributes:
        pixels: (N, 1, H, W) uint8 if all pictures are grey, else (N, 3, H, W); 0 where unmeasured.
        bits: (N, ceil(H W / 8)) uint8, the mask with the first pixel in the highest bit. None: all is measured.
    """

    pixels: torch.Tensor
    bits: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: torch.Tensor | slice) -> PictureStack:
        """The pictures in `rows`, (M,) int64 or a slice."""
        return PictureStack(self.pixels[rows], None if self.bits is None else self.bits[rows])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, 4, H, W)."""
        count, _, height, width = self.pixels.shape
        return count, 4, height, width

    @property
    def is_grey(self) -> bool:
        """Whether red, green and blue are equal in all pictures."""
        return self.pixels.shape[1] == 1

    @property
    def device(self) -> torch.device:
        """Where the bytes are."""
        return self.pixels.device

    @property
    def nbytes(self) -> int:
        """Size of pixels and masks in bytes."""
        return self.pixels.nbytes + (0 if self.bits is None else self.bits.nbytes)

    def to(self, device: torch.device | str) -> PictureStack:
        """The same pictures on a device."""
        return replace(self, pixels=self.pixels.to(device), bits=None if self.bits is None else self.bits.to(device))

    def float(self) -> torch.Tensor:
        """(N, 4, H, W) float32: colours rounded to float16, as maps of scans are, and the mask.

        The same bytes give the same numbers on every device: the division is by a tensor, as a division by a number
        becomes a multiplication on a GPU.
        """
        count, channels, height, width = self.shape
        white = torch.full((), _WHITE, device=self.device)
        values = torch.empty(count, channels, height, width, device=self.device)
        values[:, :3] = (self.pixels.float() / white).half()
        values[:, 3] = 1.0 if self.bits is None else self._mask()
        return values

    def _mask(self) -> torch.Tensor:
        """(N, H, W) uint8, 1 where measured."""
        count, _, height, width = self.shape
        assert self.bits is not None
        shifts = torch.arange(7, -1, -1, device=self.device, dtype=torch.uint8)
        single = (self.bits[:, :, None] >> shifts) & 1  # (N, ceil(H W / 8), 8)
        return single.flatten(1)[:, : height * width].reshape(count, height, width)


class PictureFiller:
    """Collects pictures one by one, without ever holding more than their bytes.

    Args:
        count: Number of pictures, N.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pixels: NDArray[np.uint8] | None = None  # (N, 1 or 3, H, W)
        self._bits: NDArray[np.uint8] | None = None

    def put(self, number: int, texture: NDArray[np.uint8], mask: NDArray[np.uint8], name: str) -> None:
        """Set picture `number`.

        Args:
            number: From 0 to N - 1.
            texture: (H, W, 3) uint8.
            mask: (H, W) uint8, 0 where not measured.
            name: Of the picture, for a message.

        Raises:
            ArgumentError: if the picture has another size than the others.
        """
        planes = np.ascontiguousarray(texture.transpose(2, 0, 1))  # (3, H, W)
        pixels = self._room(np.array_equal(planes[:2], planes[1:]), mask.shape)
        if pixels.shape[2:] != mask.shape:
            raise ArgumentError(f"{name}: the maps should be {pixels.shape[2:]}, are {mask.shape}")
        measured = mask > 0
        if not measured.all():
            if self._bits is None:
                self._bits = np.full((self._count, -(-mask.size // 8)), 255, np.uint8)
            self._bits[number] = np.packbits(measured)
            planes *= measured
        pixels[number] = planes[: pixels.shape[1]]

    def stack(self) -> PictureStack:
        """The pictures that were put."""
        assert self._pixels is not None
        return PictureStack(
            torch.from_numpy(self._pixels), None if self._bits is None else torch.from_numpy(self._bits)
        )

    def _room(self, grey: bool, size: tuple[int, ...]) -> NDArray[np.uint8]:
        """The array of all pixels, with three channels from the first picture on that is not grey."""
        if self._pixels is None:
            self._pixels = np.zeros((self._count, 1 if grey else 3, *size), np.uint8)
        elif not grey and self._pixels.shape[1] == 1:
            self._pixels = np.repeat(self._pixels, 3, axis=1)
        return self._pixels
