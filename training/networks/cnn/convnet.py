"""Configurable convolutional network, to study kernel size, stride, padding, dilation and groups.

Sources: LeCun et al. 1989, doi:10.1162/neco.1989.1.4.541 (stride); Yu & Koltun 2016, arXiv 1511.07122 (dilation);
Krizhevsky et al. 2012 (groups); Howard et al. 2017, arXiv 1704.04861 (depthwise). Output sizes as in Dumoulin & Visin
2016, arXiv 1603.07285, relationship 15.
Axes: B rows, C channels, H height, W width, K scores.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.training.layers.norm import Norm, norm

Least1 = Annotated[int, Field(ge=1)]
Least0 = Annotated[int, Field(ge=0)]


class Layer(NamedTuple):
    """One convolution and the pooling after it."""

    maps: int
    kernel: int
    stride: int
    padding: int
    dilation: int
    groups: int
    pool: int

    @property
    def reach(self) -> int:
        """Extent of the dilated kernel in pixels."""
        return (self.kernel - 1) * self.dilation + 1

    def side(self, side: int) -> int:
        """Output side for an input side; 0 or less when the output is empty."""
        return ((side + 2 * self.padding - self.reach) // self.stride + 1) // self.pool


class Config(BaseModel, frozen=True, extra="forbid"):
    """Each field holds one number for all convolutions, or a number for each."""

    maps: tuple[Least1, ...] = Field((32, 64), min_length=1, description="output channels of each convolution")
    kernel: Least1 | tuple[Least1, ...] = Field(3, description="kernel size in pixels")
    stride: Least1 | tuple[Least1, ...] = Field(1, description="stride in pixels")
    padding: Literal["same"] | Least0 | tuple[Least0, ...] = Field(
        "same", description="zero padding in pixels at each border; same: half the extent of the dilated kernel"
    )
    dilation: Least1 | tuple[Least1, ...] = Field(1, description="dilation in pixels")
    groups: Least1 | tuple[Least1, ...] = Field(
        1, description="groups of channels convolved separately; as many as channels: depthwise convolution"
    )
    pool: Least1 | tuple[Least1, ...] = Field(
        2, description="kernel size of the max pooling after a convolution; 1: none"
    )
    norm: Norm = Field("batch", description="normalization after each convolution: batch, layer or group")
    head: Literal["mean", "flat"] = Field(
        "mean", description="input of the classifier: global average pooling, or the flattened maps"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout probability before the last layer")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name in ("kernel", "stride", "padding", "dilation", "groups", "pool"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != len(self.maps):
                raise ValueError(
                    f"{name}: {len(value)} numbers for {len(self.maps)} convolutions; give one, or one each"
                )
        for at, (before, layer) in enumerate(zip(self.maps[:-1], self.layers[1:], strict=True), 2):
            if before % layer.groups or layer.maps % layer.groups:
                message = f"convolution {at}: {layer.groups} do not divide {before} maps into {layer.maps}"
                raise ValueError(f"groups: {message}")
        return self

    @property
    def layers(self) -> tuple[Layer, ...]:
        names = [name for name in Layer._fields if name != "padding"]
        rows = zip(*(self._each(name) for name in names), strict=True)
        bare = [Layer(**dict(zip(names, row, strict=True)), padding=0) for row in rows]
        if self.padding == "same":
            return tuple(layer._replace(padding=layer.reach // 2) for layer in bare)
        return tuple(layer._replace(padding=one) for layer, one in zip(bare, self._each("padding"), strict=True))

    def _each(self, name: str) -> tuple[int, ...]:
        value: int | tuple[int, ...] = getattr(self, name)
        return value if isinstance(value, tuple) else (value,) * len(self.maps)


TINY = Config(maps=(4, 8))


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData for images too small for a kernel, or whose channels the first groups do not divide."""
    channels, *sides = signature.single("image").shape
    where, first = "network cnn/convnet", config.layers[0]
    if channels % first.groups or first.maps % first.groups:
        message = f"groups: convolution 1: {first.groups} do not divide {channels} channels into {first.maps} maps"
        raise BadData.at(where, message)
    for at, layer in enumerate(config.layers, 1):
        after = [layer.side(side) for side in sides]
        if min(after) < 1:
            message = f"convolution {at} gets {sides[0]}x{sides[1]}, and leaves nothing of it: its kernel reaches over"
            would = "take less stride, pool or dilation, or more padding"
            raise BadData.at(
                where, f"{message} {layer.reach} pixels, stride {layer.stride}, pool {layer.pool}; {would}"
            )
        sides = after
    places = 1 if config.head == "mean" else sides[0] * sides[1]
    return ConvNet(config, channels, config.maps[-1] * places, signature.outputs)


class ConvNet(nn.Module):
    """Scores of shape (B, K) for images (B, C, H, W)."""

    def __init__(self, config: Config, channels: int, features: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for layer in config.layers:
            normed = norm(config.norm, layer.maps, maps=True)
            layers += [_convolution(before, layer, bias=not normed), *normed, nn.ReLU()]
            layers += [nn.MaxPool2d(layer.pool)] if layer.pool > 1 else []
            before = layer.maps
        self.features = nn.Sequential(*layers)
        gather = nn.AdaptiveAvgPool2d(1) if config.head == "mean" else nn.Identity()
        self.head = nn.Sequential(gather, nn.Flatten(), nn.Dropout(config.dropout), nn.Linear(features, outputs))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        scores_BK: Tensor = self.head(self.features(x_BCHW))
        return scores_BK


def _convolution(before: int, layer: Layer, *, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(
        before,
        layer.maps,
        layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
        bias=bias,
    )
