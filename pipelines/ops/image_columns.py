"""The image columns of a table."""

from __future__ import annotations

from millstream.pipelines.readers.images import SIZES
from millstream.pipelines.table import Table
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData


def images_of(table: Table, columns: tuple[str, ...] | None, masks: tuple[str, ...], where: str) -> list[Column]:
    """The named images (default: all) and masks, of axes CHW.

    Raises BadData for a column that is no image, and for images that keep their own sizes: their size columns would be
    wrong after the frames have changed.
    """
    if table.column(SIZES[0]) is not None:
        raise BadData.at(where, "the images keep their own sizes; read them with another `resize` than keep")
    images = [column.name for column in table.columns if column.meaning == "image" and column.layout == "tensor"]
    names = dict.fromkeys((*(columns if columns is not None else images), *masks))
    chosen = {name: table.column(name) for name in names}
    wrong = [
        name for name, column in chosen.items() if column is None or column.layout != "tensor" or len(column.shape) != 3
    ]
    if wrong or not chosen:
        raise BadData.at(where, f"{wrong or 'columns'}: not images; the images are {images}")
    return [column for column in chosen.values() if column is not None]
