"""The latents of a real small model: directions, reconstructions, the map, and sizes side by side."""

# ruff: noqa: F811 - fixtures of the family, by import
import csv
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.families.cvae.conftest import cells, cells_folder, engine, lively, small_config, straight  # noqa: F401
from xray_generator.data.fitting import fit_square
from xray_generator.data.rows import Dataset
from xray_generator.devices import seeded_generators
from xray_generator.experiments.latent_space import (
    AMOUNTS,
    STRIP,
    compare_sizes,
    labeled_folders,
    map_latents,
    same_classes,
)
from xray_generator.experiments.reconstruction import reconstruct_as_classes
from xray_generator.export.animation import encode_path_gif, encode_path_strip
from xray_generator.export.recipe import recipes
from xray_generator.families.cvae.engine import CVAEEngine
from xray_generator.generation import NUM_DIRECTIONS, generate, traverse
from xray_generator.requests import make_request
from xray_generator.studio import Studio
from xray_generator.types import Canceled, ClassLabel, GenerationRequest, StudioError


def ask(label: str = "disc", seed: int = 5) -> GenerationRequest:
    return make_request(ClassLabel(label), seed=seed, size=64)


def test_a_traversal_starts_at_the_image_and_measures_its_directions_once(lively: CVAEEngine) -> None:
    found = traverse(lively, ask(), 1, AMOUNTS)
    assert len(found.images) == len(AMOUNTS) and len(found.directions) == NUM_DIRECTIONS
    (plain,) = generate(lively, ask()).images
    np.testing.assert_allclose(found.start.images[0], plain, atol=1e-5)
    strip = found.images[STRIP]
    assert len(strip) == 7 and strip[0] is found.images[0] and strip[-1] is found.images[-1]
    assert np.abs(found.images[0] - found.images[-1]).max() > 1e-3
    again = traverse(lively, ask(seed=6), 1, AMOUNTS, found.directions)
    assert again.directions == found.directions
    (recipe,) = recipes(found.start)
    assert b"direction 2" in encode_path_strip(strip, recipe, "direction 2")
    assert b"direction 2" in encode_path_gif(found.images, recipe, "direction 2", is_returning=True)


def test_an_image_is_decoded_as_each_class_and_measured_without_its_padding(lively: CVAEEngine) -> None:
    image = np.random.default_rng(0).random((90, 50)).astype(np.float32)
    image, labels = cv2.GaussianBlur(image, (0, 0), 3), lively.manifest.labels
    found = reconstruct_as_classes(lively, image, "ring", labels)
    fitted = fit_square(image, 64)
    assert np.array_equal(found.original, fitted.image)
    assert set(found.others) == {"disc", "stripes"} and not np.array_equal(found.reconstruction, found.others["disc"])
    inside = np.s_[fitted.top : fitted.top + fitted.height, fitted.left : fitted.left + fitted.width]
    mse = np.square(found.reconstruction - found.original, dtype=np.float64)[inside].mean()
    by_name = {measurement.measure: measurement.value for measurement in found.measurements}
    assert by_name["mse"] == pytest.approx(mse) and by_name["psnr"] == pytest.approx(-10 * np.log10(mse))
    narrow = reconstruct_as_classes(lively, image[:, :16].repeat(20, axis=0), "ring", labels)
    assert all(measurement.value is not None for measurement in narrow.measurements)
    with pytest.raises(StudioError, match="knows no class 'square'"):
        reconstruct_as_classes(lively, image, "square", labels)


def test_the_map_is_the_pca_of_samples_that_the_generator_draws_too(lively: CVAEEngine) -> None:
    labels, seen = lively.manifest.labels, []
    found = map_latents(lively, labels, 10, lambda step, total, preview: seen.append((step, total, preview())))
    assert [step for step, *_ in seen] == [8, 10, 18, 20, 28, 30] and {total for _, total, _ in seen} == {30}
    assert seen[0][2].shape == (64, 64) and found.points.shape == (30, 2)
    latents = [lively.draw_latents(name, seeded_generators(i, 1)) for name in labels for i in range(10)]
    values = torch.cat(latents).flatten(1).double().numpy()
    assert found.points.var(axis=0, ddof=0) / values.var(axis=0).sum() == pytest.approx(
        found.explained_variance, rel=1e-3
    )
    assert found.project(latents[12][0].numpy()) == pytest.approx(tuple(found.points[12]), abs=1e-3)
    assert (found.labels[12], found.seeds[12]) == (labels[1], 2)
    rows = list(csv.DictReader(io.StringIO(found.csv())))
    assert len(rows) == 30 and rows[12]["synthetic_class"] == labels[1] and rows[12]["seed"] == "2"


def test_a_map_can_be_canceled(lively: CVAEEngine) -> None:
    def stop(*_) -> None:
        raise Canceled

    with pytest.raises(Canceled):
        map_latents(lively, lively.manifest.labels, on_step=stop)


def test_sizes_are_compared_with_training_images_of_the_class(straight: Path, cells: Dataset) -> None:
    studio = Studio(straight, "cpu")
    manifest = studio.manifest("small")
    assert same_classes(manifest, studio.checkpoints()) == (manifest,)
    found = compare_sizes(studio, [manifest, manifest], "ring", cells.rows, 3, 4)
    assert [result.seeds for result in found.generated] == [(3, 4, 5, 6)] * 2
    assert {(row.label, row.split) for row in found.rows} == {("ring", "train")}
    assert all(image.shape == (64, 64) for image in found.real) and len(found.real) == 4


def test_folders_with_classes_are_found(cells_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cells").symlink_to(cells_folder)
    (tmp_path / "other").mkdir()
    assert labeled_folders(tmp_path) == (tmp_path / "cells",)
    assert labeled_folders(cells_folder) == (cells_folder,) and labeled_folders(tmp_path / "none") == ()
