"""Pictures of any kind as arrays of one shape, and the masks that belong to them.

Axes: C colours (1 grey, 3 red, green and blue), H rows of pixels, W columns.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Resize = Literal["crop", "stretch", "pad", "keep"]
SIZES = ("picture_height", "picture_width")
"""Columns that tell how much of a frame is picture, where pictures keep their own sizes."""
_ELSEWHERE = frozenset(["EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5"])
"""Formats that Pillow only knows by name, or hands to another program."""
_LOSSY = frozenset(["JPEG", "MPO", "JPEG2000", "WEBP", "AVIF"])
"""Formats that may give other numbers than were put in."""
MOST_PIXELS = 100_000_000
"""Larger ones are put aside unread: a file of some kilobytes can unfold to gigabytes."""
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # Pillow warns of more, and refuses twice as many before it reads a pixel
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Frame:
    """The shape that every picture is brought to.

    `crop`: the middle, with its proportions kept. `stretch`: all of it. `pad`: all of it with its proportions kept,
    black (in a mask: 0) around it. `keep`: its own pixels in the upper left corner, black right of and below it.
    """

    channels: int
    height: int
    width: int
    resize: Resize

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.channels, self.height, self.width)

    def pixels(self, content: bytes) -> NDArray[np.uint8]:
        """A picture as (C, H, W), of several frames the first one. Raises ValueError with the reason why it cannot be
        read."""
        picture = _plain(_opened(content, formats()))
        sized = self._sized(picture.convert("L" if self.channels == 1 else "RGB"), Image.Resampling.BILINEAR)
        found = np.asarray(sized, dtype=np.uint8)
        return np.ascontiguousarray(found[None] if self.channels == 1 else found.transpose(2, 0, 1))

    def mask(self, content: bytes, picture: bytes) -> NDArray[np.int32]:
        """The whole numbers of a mask as (1, H, W): cut as its picture is, and never blended.

        Raises ValueError when it cannot be read, is packed with loss, has colours, or another size than its picture.
        """
        mask = _opened(content, formats() - _LOSSY, "mask: ")
        numbers = np.asarray(mask)
        if mask.mode == "F" or numbers.ndim != 2:
            raise ValueError("mask: has colours; expected one whole number for each pixel")
        if mask.size != _opened(picture, formats()).size:
            raise ValueError("mask: has another size than its picture")
        sized = self._sized(Image.fromarray(numbers.astype(np.int32)), Image.Resampling.NEAREST)
        return np.asarray(sized, dtype=np.int32)[None]

    def _sized(self, picture: Image.Image, sampling: Image.Resampling) -> Image.Image:
        size = (self.width, self.height)
        if self.resize == "keep":
            return _within(picture, size)
        if self.resize == "stretch":
            return picture.resize(size, sampling)
        if self.resize == "crop":
            return ImageOps.fit(picture, size, sampling)
        share = min(self.width / picture.width, self.height / picture.height)
        within = (max(1, round(picture.width * share)), max(1, round(picture.height * share)))
        padded = Image.new(picture.mode, size, 0)
        padded.paste(picture.resize(within, sampling), ((size[0] - within[0]) // 2, (size[1] - within[1]) // 2))
        return padded


def _within(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    if picture.width > size[0] or picture.height > size[1]:
        raise ValueError("is larger than its frame")
    padded = Image.new(picture.mode, size, 0)
    padded.paste(picture)
    return padded


def size_of(content: bytes) -> tuple[int, int]:
    """Height and width of a picture, once it stands upright. Raises ValueError when it cannot be read."""
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
    """The formats that Pillow reads by itself, by its names for them."""
    Image.init()
    return frozenset(Image.ID) - _ELSEWHERE


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its name, whatever is in it, or by its first bytes, whatever it is called."""
    if Image.registered_extensions().get(path.suffix.lower()) in formats():
        return True
    marked = tuple(name for name in formats() if Image.OPEN[name][1] is not None)  # those that begin with a mark
    try:
        with Image.open(path, formats=marked):
            return True
    except Exception:  # each format has errors of its own for bytes that are not its
        return False


def _opened(content: bytes, among: frozenset[str], what: str = "") -> Image.Image:
    """The first frame of a picture in one of some formats, whole and upright."""
    if not content:
        raise ValueError(f"{what}the file is empty")
    try:
        with Image.open(io.BytesIO(content), formats=tuple(among)) as opened:
            return ImageOps.exif_transpose(opened)
    except Image.DecompressionBombError as error:
        raise ValueError(f"{what}more than {MOST_PIXELS:,} pixels") from error
    except Exception as error:  # each format has errors of its own for bytes that are damaged
        raise ValueError(f"{what}no whole picture of a format that is read") from error


def _plain(picture: Image.Image) -> Image.Image:
    """8 bits a colour; transparent parts black. Pillow's own conversions clip 16 bits and forget transparency.

    Raises ValueError for fractions, of which nothing says what is white.
    """
    if picture.mode == "F":
        raise ValueError("holds fractions; expected whole numbers")
    if picture.mode.startswith("I"):
        return Image.fromarray((np.asarray(picture).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        whole = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", whole.size, (0, 0, 0, 255)), whole)
    return picture
