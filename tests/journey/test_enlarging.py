"""One's own images of many sizes become a model that takes coarse images and returns fine ones."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from millstream.training.tasks.super_resolve import psnr_y
from tests.journey.command import completed

RECIPE = """
about: Finer views
data:
  name: views
  source: {name: images, folder: views, height: 50, width: 44, resize: keep}
  steps:
    - split: {by: hash, valid: 0.2, test: 0.2}
    - coarsen: {scale: 2}
    - scale: {columns: [image, coarse], method: unit}
task: {name: super_resolve, target: image, patch: 10}
network: {name: cnn/espcn, channels: [8, 8], residual: true}
fit: {epochs: 20, batch_size: 4, seed: 1, optimizer: {name: adam, lr: 3.0e-3}}
"""


def views(folder):
    draws = np.random.default_rng(0)
    for name in ("hills", "towns"):
        (folder / name).mkdir(parents=True)
        for at in range(12):
            noise = gaussian_filter(draws.random((26 + 2 * at, 43 - at, 3)), (1, 1, 0)) > 0.5
            Image.fromarray((noise * 200 + 20).astype(np.uint8)).save(folder / name / f"{at}.png")


@pytest.mark.slow
@pytest.mark.spark
def test_fine_images_are_scored_and_evaluated_as_they_were_tested(tmp_path):
    views(tmp_path / "views")
    (tmp_path / "my.yaml").write_text(RECIPE, encoding="utf-8")
    found = completed(tmp_path / "home", "run", "my.yaml", cwd=tmp_path)
    metrics = found["metrics"]
    assert metrics["test/psnr_y"] > metrics["test/bicubic_psnr_y"] + 0.2
    again = completed(tmp_path / "home", "evaluate", "models:/my@champion", cwd=tmp_path)["metrics"]
    assert {name: again[name] for name in ("test/psnr_y", "test/ssim")} == pytest.approx(
        {name: metrics[name] for name in ("test/psnr_y", "test/ssim")}
    )

    prepared = pd.read_parquet(f"{found['path']}/split=test")
    prepared[["sample_id", "coarse"]].to_parquet(tmp_path / "coarse.parquet")
    completed(tmp_path / "home", "score", "models:/my@champion", "coarse.parquet", "scored", cwd=tmp_path)
    scored = pd.read_parquet(tmp_path / "scored").set_index("sample_id")
    decibels = []
    for row in prepared.itertuples():
        fine, true = np.array(scored.fine[row.sample_id]).reshape(3, 50, 44), np.frombuffer(row.image, np.uint8)
        inside = np.s_[:, : row.picture_height // 2 * 2, : row.picture_width // 2 * 2]
        pair = [torch.from_numpy(one[inside] / 255) for one in (fine, true.reshape(4, 50, 44)[:3])]
        decibels.append(float(psnr_y(*pair, 2)))
    # beside a smaller image its frame is its mirror image, where the test had nothing
    assert np.mean(decibels) == pytest.approx(metrics["test/psnr_y"], abs=0.5)
