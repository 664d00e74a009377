"""Single-image super-resolution, trained on patches of low- and high-resolution images.

PSNR and SSIM follow the convention of the literature: on the luma of ITU-R BT.601 as integers from 16 to 235, for each
whole image at its own size with a border of `factor` pixels cropped, averaged over images. SSIM: Wang et al. 2004,
doi:10.1109/TIP.2003.819861.
Axes: B rows, P patches of each, C channels, h and w height and width of low-resolution images, H and W of
high-resolution ones; a target has one more channel, which is 1 inside the image and 0 in the padding.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from matplotlib.figure import Figure
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.functional.image import structural_similarity_index_measure

from millstream.tracking.dataset.records import Affine
from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.tracking.figures.enlargements import enlargements
from millstream.training.config.fit import Fit
from millstream.training.feed.batch import Batch
from millstream.training.layers.enlarge import enlarged, enlargement
from millstream.training.layers.image_tiles import cut
from millstream.training.predictions import super_resolve as prediction
from millstream.training.task import Task
from millstream.training.tensors import as_numpy

SHOWN = 5
PEAK = 255.0
"""Peak value for PSNR of the luma, although luma ends at 235: the convention of the literature."""
WINDOW = 11
"""Side of SSIM's window, in pixels."""
LUMA = (65.481, 128.553, 24.966)
"""Luma weights of red, green and blue in [0, 1], above a black level of 16; a grey channel has their sum."""


class Config(BaseModel, frozen=True, extra="forbid"):
    target: str = Field(description="column with the high-resolution image, as the step coarsen produces it")
    loss: Literal["mse", "l1"] = Field("mse", description="mean squared or mean absolute error of the pixels")
    patch: int = Field(24, ge=1, description="side of the training patches, in low-resolution pixels")
    patches: int = Field(1, ge=1, description="patches cut from an image each time it is read")
    turn: bool = Field(True, description="augment with random flips and transposition, drawn once per batch")


TINY = Config(target="target", patch=4)


class SuperResolve(Task):
    """`psnr_y` (dB) and `ssim` of the prediction and of bicubic upsampling as a baseline; `pattern` of the error."""

    outputs: ClassVar = prediction.Predictor.outputs
    directions: ClassVar = {
        **dict.fromkeys(("psnr_y", "ssim", "bicubic_psnr_y", "bicubic_ssim"), "max"),
        "pattern": "min",
    }

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        """Raises BadData for a target that is no enlargement of the input, and for images not scaled by `unit`."""
        super().__init__(config, network, signature, fit)
        self.channels, self.factor = enlargement(signature, "task super_resolve")
        columns = [field.columns[0] for field in (*signature.inputs, signature.target) if field is not None]
        wrong = [column.name for column in columns if column.affine != Affine(factor=1 / PEAK)]
        if wrong or columns[-1].shape[0] != self.channels + 1:
            message = f"{wrong or columns[-1].name}: expected images from `coarsen`, each with `scale` by `unit`"
            raise BadData.at("task super_resolve", message)
        self.shown: list[tuple[Tensor, ...]] = []

    def rows(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """In training, losses over patches; otherwise over each whole image, one at a time and without its padding."""
        if self.training:
            return self.of_patches(*self.patches(batch)).reshape(len(batch.mask_B), -1).mean(dim=1), []
        pairs = image_pairs(batch, self.factor)
        predicted = [self.network(coarse_Chw[None])[0] for coarse_Chw, _ in pairs]
        losses = [float(self.difference(one, true).mean()) for one, (_, true) in zip(predicted, pairs, strict=True)]
        found_B = torch.zeros(len(batch.mask_B), device=batch.mask_B.device)
        found_B[batch.mask_B] = found_B.new_tensor(losses)
        return found_B, predicted

    def patches(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Low-resolution patches, and high-resolution ones with the padding mask, (B P, ...), at uniform positions."""
        coarse_BChw, fine_BCHW = batch.arguments[0], batch.truth
        side = min(self.config.patch, *coarse_BChw.shape[2:])
        sizes_2B = torch.stack(sizes(fine_BCHW)) // self.factor
        shares_2BP = torch.rand(2, len(coarse_BChw), self.config.patches, device=coarse_BChw.device)
        starts_2BP = (shares_2BP * (sizes_2B - side + 1).clamp(min=1)[..., None]).long()
        coarse = cut(coarse_BChw, starts_2BP, side)
        fine = cut(fine_BCHW, starts_2BP * self.factor, side * self.factor)
        return turned(coarse, fine) if self.config.turn else (coarse, fine)

    def of_patches(self, coarse_NChw: Tensor, fine_NCHW: Tensor) -> Tensor:
        """Mean error over the pixels of each patch, (N,)."""
        true_NCHW, there_N1HW = fine_NCHW[:, :-1], fine_NCHW[:, -1:]
        off_NCHW = self.difference(self.network(coarse_NChw), true_NCHW) * there_N1HW
        pixels_N = there_N1HW.flatten(start_dim=1).sum(dim=1).clamp(min=1) * self.channels
        return off_NCHW.flatten(start_dim=1).sum(dim=1) / pixels_N

    def difference(self, predicted: Tensor, true: Tensor) -> Tensor:
        off = predicted - true
        return off.square() if self.config.loss == "mse" else off.abs()

    def metrics(self) -> dict[str, Metric]:
        # an image smaller than a window, or all border, has no value
        names = ("psnr_y", "ssim", "bicubic_psnr_y", "bicubic_ssim", "pattern")
        return {name: MeanMetric(nan_strategy="ignore") for name in names}

    def measure(self, metrics: MetricCollection, output: list[Tensor], batch: Batch) -> None:
        for predicted, (coarse_Chw, true) in zip(output, image_pairs(batch, self.factor), strict=True):
            bicubic = enlarged(coarse_Chw[None], self.factor)[0]
            for prefix, one in (("", predicted), ("bicubic_", bicubic)):
                metrics[f"{prefix}psnr_y"].update(psnr_y(one, true, self.factor))
                metrics[f"{prefix}ssim"].update(ssim_y(one, true, self.factor))
            metrics["pattern"].update(pattern(predicted, true, self.factor))
            if self.trainer.testing and len(self.shown) < SHOWN:
                self.shown.append((bicubic, predicted, true))

    def outcomes(self, output: list[Tensor], batch: Batch) -> dict[str, Tensor]:
        pairs = [
            (predicted, true) for predicted, (_, true) in zip(output, image_pairs(batch, self.factor), strict=True)
        ]
        of_image = {"psnr_y": psnr_y, "ssim": ssim_y, "pattern": pattern}
        return {
            name: torch.tensor([float(of(predicted, true, self.factor)) for predicted, true in pairs])
            for name, of in of_image.items()
        }

    @property
    def predictor(self) -> prediction.Predictor:
        return prediction.Predictor()

    def figures(self) -> dict[str, Figure]:
        if not self.shown:
            return {}
        decibels = [[float(psnr_y(one, three[-1], self.factor)) for one in three[:-1]] for three in self.shown]
        return {"enlargements": enlargements([[as_numpy(one) for one in three] for three in self.shown], decibels)}


def sizes(fine_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Height and width (B,) of the image in the upper left corner of each frame, where the last channel is 1."""
    there_BHW = fine_BCHW[:, -1] > 1 / 2
    return there_BHW[:, :, 0].sum(dim=1), there_BHW[:, 0].sum(dim=1)


def image_pairs(batch: Batch, factor: int) -> list[tuple[Tensor, Tensor]]:
    """Low- and high-resolution image of each unmasked row, (C, h, w) and (C, H, W), without padding."""
    coarse_BChw, fine_BCHW = batch.arguments[0][batch.mask_B], batch.truth[batch.mask_B]
    heights, widths = (side.tolist() for side in sizes(fine_BCHW))
    return [
        (coarse[:, : height // factor, : width // factor], fine[:-1, :height, :width])
        for coarse, fine, height, width in zip(coarse_BChw, fine_BCHW, heights, widths, strict=True)
    ]


def turned(coarse: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
    """Both flipped vertically, horizontally, and transposed, each with probability 1/2."""
    down, along, over = (torch.rand(3) < 1 / 2).tolist()
    axes = [axis for axis, is_so in ((2, down), (3, along)) if is_so]
    coarse, fine = coarse.flip(axes), fine.flip(axes)
    return (coarse.transpose(2, 3).contiguous(), fine.transpose(2, 3).contiguous()) if over else (coarse, fine)


def luma(image_CHW: Tensor) -> Tensor:
    """Luma as integers from 16 to 235, (H, W), as MATLAB's `rgb2ycbcr` returns for a uint8 image."""
    weights_C = image_CHW.new_tensor(LUMA if len(image_CHW) == len(LUMA) else (sum(LUMA),), dtype=torch.float64)
    return (16 + torch.einsum("chw,c->hw", image_CHW.double().clamp(0, 1), weights_C)).round()


def psnr_y(predicted_CHW: Tensor, true_CHW: Tensor, border: int) -> Tensor:
    """10 log10(255^2 / mean squared error) of the luma, in dB; images have values in [0, 1]."""
    off = inner(luma(predicted_CHW) - luma(true_CHW), border)
    return 10 * torch.log10(PEAK**2 / off.square().mean())


def ssim_y(predicted_CHW: Tensor, true_CHW: Tensor, border: int) -> Tensor:
    """The structural similarity of the luma, with the paper's window of 11 pixels and deviation 1.5."""
    predicted, true = (inner(luma(one), border)[None, None] for one in (predicted_CHW, true_CHW))
    _, map_11HW = structural_similarity_index_measure(predicted, true, data_range=PEAK, return_full_image=True)
    # only windows inside the image, as in the paper: torchmetrics pads by reflection
    return inner(map_11HW[0, 0], WINDOW // 2).mean()


def pattern(predicted_CHW: Tensor, true_CHW: Tensor, factor: int) -> Tensor:
    """Periodic error such as a checkerboard (Odena et al. 2016, doi:10.23915/distill.00003), in grey levels: standard
    deviation, over the factor x factor positions in a low-resolution pixel, of the mean luma error there. It is 0 for
    errors that are independent of the position in the low-resolution pixel."""
    off_HW = inner(luma(predicted_CHW) - luma(true_CHW), factor)
    height, width = (side // factor for side in off_HW.shape)
    cells = off_HW[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return cells.mean(dim=(0, 2)).std(correction=0)


def inner(map_HW: Tensor, border: int) -> Tensor:
    """A map without its outermost pixels."""
    return map_HW[border:-border, border:-border]
