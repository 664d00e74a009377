"""Decodes images of any format, and their segmentation masks, to arrays of one shape.

Axes: C channels (1 grey, 3 red, green and blue), H rows of pixels, W columns.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Resize = Literal["crop", "stretch", "pad", "keep"]
SIZES = ("picture_height", "picture_width")
"""Columns with the size of the image within its frame, when images keep their own sizes."""
_ELSEWHERE = frozenset(["EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5"])
"""Formats that Pillow only identifies, or delegates to another program."""
_LOSSY = frozenset(["JPEG", "MPO", "JPEG2000", "WEBP", "AVIF"])
"""Formats with lossy compression."""
MOST_PIXELS = 100_000_000
"""Larger images are quarantined without decoding: a file of some kilobytes can decompress to gigabytes."""
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # Pillow warns above this, and raises above twice as many before decoding
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Frame:
    """The shape that every image is resized to.

    `crop`: center crop, aspect ratio kept. `stretch`: the whole image, aspect ratio changed. `pad`: the whole image,
    aspect ratio kept, padded with black (in a mask: 0). `keep`: not resized, in the upper left corner, padded with
    black.
    """

    channels: int
    height: int
    width: int
    resize: Resize

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.channels, self.height, self.width)

    def pixels(self, content: bytes) -> NDArray[np.uint8]:
        """An image as (C, H, W), the first frame of several. Raises ValueError with the reason if it is unreadable."""
        image = _plain(_opened(content, formats()))
        sized = self._sized(image.convert("L" if self.channels == 1 else "RGB"), Image.Resampling.BILINEAR)
        values = np.asarray(sized, dtype=np.uint8)
        return np.ascontiguousarray(values[None] if self.channels == 1 else values.transpose(2, 0, 1))

    def mask(self, content: bytes, image: bytes) -> NDArray[np.int32]:
        """The integers of a mask as (1, H, W): resized as its image, with nearest-neighbour sampling.

        Raises ValueError when it cannot be read, is in a lossy format, has colours, or another size than its image.
        """
        mask = _opened(content, formats() - _LOSSY, "mask: ")
        numbers = np.asarray(mask)
        if mask.mode == "F" or numbers.ndim != 2:
            raise ValueError("mask: has colours; expected one whole number for each pixel")
        if mask.size != _opened(image, formats()).size:
            raise ValueError("mask: has another size than its image")
        sized = self._sized(Image.fromarray(numbers.astype(np.int32)), Image.Resampling.NEAREST)
        return np.asarray(sized, dtype=np.int32)[None]

    def _sized(self, image: Image.Image, sampling: Image.Resampling) -> Image.Image:
        size = (self.width, self.height)
        if self.resize == "keep":
            return _within(image, size)
        if self.resize == "stretch":
            return image.resize(size, sampling)
        if self.resize == "crop":
            return ImageOps.fit(image, size, sampling)
        share = min(self.width / image.width, self.height / image.height)
        within = (max(1, round(image.width * share)), max(1, round(image.height * share)))
        padded = Image.new(image.mode, size, 0)
        padded.paste(image.resize(within, sampling), ((size[0] - within[0]) // 2, (size[1] - within[1]) // 2))
        return padded


def _within(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if image.width > size[0] or image.height > size[1]:
        raise ValueError("is larger than its frame")
    padded = Image.new(image.mode, size, 0)
    padded.paste(image)
    return padded


def size_of(content: bytes) -> tuple[int, int]:
    """Height and width of an image after its EXIF rotation. Raises ValueError when it cannot be read."""
    width, height = _opened(content, formats()).size
    return height, width


def content_of(path: str) -> bytes:
    """The bytes of a file. Raises ValueError when there is none."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError("the file cannot be read") from error


@cache
def formats() -> frozenset[str]:
    """Pillow's names of the formats that it decodes itself."""
    Image.init()
    return frozenset(Image.ID) - _ELSEWHERE


def is_image(path: Path) -> bool:
    """Whether a file is an image by its suffix, whatever its content, or by its first bytes, whatever its name."""
    return has_suffix(path.name) or begins_as_image(path)


def has_suffix(name: str) -> bool:
    """Whether a name has the suffix of an image."""
    return Image.registered_extensions().get(PurePosixPath(name).suffix.lower()) in formats()


def begins_as_image(file: Path | IO[bytes]) -> bool:
    """Whether the first bytes of a file are those of an image."""
    marked = tuple(name for name in formats() if Image.OPEN[name][1] is not None)  # formats with a magic number
    try:
        with Image.open(file, formats=marked):
            return True
    except Exception:  # each decoder has its own errors for bytes of another format
        return False


def _opened(content: bytes, among: frozenset[str], what: str = "") -> Image.Image:
    """The first frame of an image in one of the formats, fully decoded, with its EXIF rotation applied."""
    if not content:
        raise ValueError(f"{what}the file is empty")
    try:
        with Image.open(io.BytesIO(content), formats=tuple(among)) as opened:
            return ImageOps.exif_transpose(opened)
    except Image.DecompressionBombError as error:
        raise ValueError(f"{what}more than {MOST_PIXELS:,} pixels") from error
    except Exception as error:  # each decoder has its own errors for damaged bytes
        raise ValueError(f"{what}not a complete image in a supported format") from error


def _plain(image: Image.Image) -> Image.Image:
    """8 bits per channel, on a black background. Pillow's own conversions clip 16 bits and drop transparency.

    Raises ValueError for floating-point images, whose value range is unknown.
    """
    if image.mode == "F":
        raise ValueError("holds fractions; expected whole numbers")
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        whole = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", whole.size, (0, 0, 0, 255)), whole)
    return image
