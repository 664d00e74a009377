"""Saliency of a trained classifier: filters, feature maps, Grad-CAM and attention weights.

Source: Grad-CAM, Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2; with global average pooling and one fully
connected layer it equals the class activation map of Zhou et al. 2016, arXiv 1512.04150, up to a factor.
Axes: B rows, C channels, H height, W width; D, h, w the same of a layer's maps; K classes, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.figures.activations import activation_maps, feature_maps, filters
from millstream.tracking.figures.attended_words import attended_words
from millstream.training.feed.batch import changed
from millstream.training.tensors import as_numpy

SHOWN = 8
"""Rows of the test split that are shown."""
LAYERS = 5
"""Convolutions whose feature maps are plotted: the first, the last, and evenly spaced ones between."""


@dataclass(frozen=True)
class Looked:
    """Rows to show: the network's inputs and the true classes."""

    inputs: tuple[Any, ...]
    true_B: Tensor

    def to(self, device: torch.device) -> Looked:
        return Looked(tuple(changed(one, partial(Tensor.to, device=device)) for one in self.inputs), self.true_B)


def figures(network: nn.Module, signature: Signature, looked: Looked) -> dict[str, Figure]:
    """`filters`, `feature_maps` and `activation_maps` of an image network, or `attended_words` of a token network.

    The rows are on the network's device. Empty for a network without 2-D convolutions over images and without
    `attended` over tokens.
    """
    # tensors made in inference mode have no autograd; copies made here do
    looked = Looked(tuple(changed(one, torch.clone) for one in looked.inputs), looked.true_B)
    meaning = signature.inputs[0].meaning if len(signature.inputs) == 1 else None
    was_training = network.training
    network.eval()
    try:
        if meaning == "image":
            return _of_images(network, signature.classes, looked)
        if meaning == "tokens" and hasattr(network, "attended"):
            return {"attended_words": _of_tokens(network, signature, looked)}
        return {}
    finally:
        network.train(was_training)


def _of_images(network: nn.Module, classes: Sequence[str], looked: Looked) -> dict[str, Figure]:
    convolutions = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)}
    if not convolutions:
        return {}
    images_BCHW = looked.inputs[0]
    maps, scores_BK = maps_of(network, convolutions, images_BCHW)
    predicted_B = scores_BK.argmax(dim=1)
    spoken_BHW = grad_cam(maps, scores_BK, predicted_B, (images_BCHW.shape[2], images_BCHW.shape[3]))
    titles = [
        f"{classes[predicted]} ({'right' if predicted == true else classes[true]})"
        for predicted, true in zip(predicted_B.tolist(), looked.true_B.tolist(), strict=True)
    ]
    names = list(maps)
    chosen = dict.fromkeys(names[round(at * (len(names) - 1) / (LAYERS - 1))] for at in range(LAYERS))
    first = next(iter(convolutions.values()))
    return {
        "filters": filters(as_numpy(first.weight)),
        "feature_maps": feature_maps(as_numpy(images_BCHW[0]), {name: as_numpy(maps[name][0]) for name in chosen}),
        "activation_maps": activation_maps(as_numpy(images_BCHW), as_numpy(spoken_BHW), titles),
    }


def maps_of(network: nn.Module, layers: dict[str, nn.Conv2d], images_BCHW: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Feature maps (B, D, h, w) of each layer by name, in the order of execution, and the scores (B, K), with their
    autograd graph."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(layer: nn.Module, given: Any, made: Tensor) -> None:
            found[name] = made

        return hook

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    try:
        with torch.enable_grad():
            scores_BK: Tensor = network(images_BCHW)
    finally:
        for hook in hooks:
            hook.remove()
    return found, scores_BK


def grad_cam(maps: dict[str, Tensor], scores_BK: Tensor, chosen_B: Tensor, size: tuple[int, int]) -> Tensor:
    """Grad-CAM heatmap (B, H, W) of the chosen class of each row, in [0, 1], from the last feature maps larger than
    1x1; all 0 without positive evidence."""
    made = list(maps.values())
    last_BDhw = next((one for one in reversed(made) if one.shape[2] * one.shape[3] > 1), made[-1])
    score = scores_BK.gather(1, chosen_B[:, None]).sum()
    (slope_BDhw,) = torch.autograd.grad(score, last_BDhw)
    weight_BD11 = slope_BDhw.mean(dim=(2, 3), keepdim=True)
    spoken_BHW = functional.interpolate(
        functional.relu((weight_BD11 * last_BDhw).sum(dim=1, keepdim=True)), size, mode="bilinear", align_corners=False
    )[:, 0].detach()
    largest_B11 = spoken_BHW.amax(dim=(1, 2), keepdim=True)
    return spoken_BHW / largest_B11.clamp(min=torch.finfo(spoken_BHW.dtype).tiny)


def _of_tokens(network: Any, signature: Signature, looked: Looked) -> Figure:
    (tokens,) = looked.inputs
    with torch.no_grad():
        weights_BT, predicted_B = network.attended(tokens), network(tokens).argmax(dim=1)
    vocabulary, classes = signature.inputs[0].columns[0].vocabulary or (), signature.classes
    sentences = []
    for tokens_T, length, weights_T, predicted, true in zip(
        tokens.values.tolist(),
        tokens.lengths_B.tolist(),
        as_numpy(weights_BT),
        predicted_B.tolist(),
        looked.true_B.tolist(),
        strict=True,
    ):
        title = classes[predicted] if predicted == true else f"{classes[predicted]}, true is {classes[true]}"
        sentences.append((title, [vocabulary[token] for token in tokens_T[:length]], weights_T[:length]))
    return attended_words(sentences)
