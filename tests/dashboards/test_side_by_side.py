import csv
import dataclasses
import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.stats import ks_2samp

from xray_generator.dashboards.distributions import (
    compare,
    cumulative,
    gray_levels,
    histogram,
    mean_images,
    ratios_now,
    spectra,
    to_csv,
)
from xray_generator.dashboards.memorization import check_memorization, feature_space, recorded_pairs
from xray_generator.dashboards.neighbors import (
    PIXELS,
    RADIOMICS,
    find_features,
    nearest_curve,
    neighborhood,
    spaces_at_hand,
)
from xray_generator.dashboards.prompts import is_alike, is_of
from xray_generator.dashboards.side_by_side import (
    MIN_SET,
    SEEN_NOTE,
    Sides,
    blind_pairs,
    choose_real,
    count_conditions,
    encode_comparison,
    even,
    partners,
    read_sides,
    with_window,
)
from xray_generator.data.prompts import row_of_prompt
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row
from xray_generator.evaluation import image_quality
from xray_generator.evaluation.features import Radiomics
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.records import Record
from xray_generator.images import read_image
from xray_generator.types import StudioError


@pytest.fixture(scope="module")
def rows(dataset_folder: Path) -> tuple[Row, ...]:
    return read_dataset(dataset_folder).rows


@pytest.fixture(scope="module")
def blurred(real: ImageSet) -> Sides:
    """Forty real images, and blurred copies of forty others as if they were generated."""
    copies = np.stack([cv2.GaussianBlur(image, (0, 0), 1.5) for image in real.images[:40]])
    prompts = tuple(row_of_prompt(row.prompt, row.path) for row in real.rows[:40])
    names = tuple(f"{i}.png" for i in range(40))
    return Sides(ImageSet("generated", copies, prompts, names), real.take(range(100, 140)), "val+test")


def test_unseen_images_of_a_condition_are_chosen_with_notes_on_the_others(rows: tuple[Row, ...]) -> None:
    choice = choose_real(rows, "pneumonia", "unseen", 256)
    assert len(choice.rows) >= MIN_SET and choice.split == "val+test"
    assert all(r.split != "train" and "pneumonia" in r.findings and r.native_size >= 256 for r in choice.rows)
    small = [r for r in rows if r.split != "train" and "pneumonia" in r.findings and r.native_size < 256]
    everyone = choose_real(rows, "pneumonia", "unseen", 256, enlarged=True)
    assert len(everyone.rows) == len(choice.rows) + len(small) and not everyone.notes
    assert bool(small) == any("are left out" in note for note in choice.notes)


def test_with_too_few_unseen_images_all_splits_are_used_and_noted(rows: tuple[Row, ...]) -> None:
    sharp = [row for row in rows if row.native_size >= 256]
    counts = count_conditions(row for row in sharp if row.split != "train")
    rare = next(name for name, n in counts.items() if n < MIN_SET < count_conditions(sharp)[name])
    choice = choose_real(rows, rare, "unseen", 256)
    assert choice.split == "train+val+test" and len(choice.rows) == count_conditions(sharp)[rare]
    assert choice.notes[0].startswith(f"Only {counts[rare]} unseen") and SEEN_NOTE in choice.notes
    assert choose_real(rows, rare, "val", 256).split == "val"  # what was asked for by name stays


def test_conditions_select_alike_on_both_sides(rows: tuple[Row, ...]) -> None:
    generated = [row_of_prompt(row.prompt, row.path) for row in rows[:60]]
    sides = read_sides(generated, choose_real(rows, "child", "unseen", 64), "child", 64)
    assert len(sides.generated) == count_conditions(generated)["child"] > 0
    assert all(is_of(row, "child") for row in (*sides.generated.rows, *sides.real.rows))
    assert sides.digest != read_sides(generated[1:], choose_real(rows, "child", "test", 64), "child", 64).digest


def test_an_unreadable_image_is_listed_and_the_rest_is_kept(rows: tuple[Row, ...], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    generated = [row_of_prompt("Chest X-ray", tmp_path / "broken.png"), row_of_prompt("Chest X-ray", rows[0].path)]
    sides = read_sides(generated, choose_real(rows, "", "val", 64), "", 64)
    assert len(sides.generated) == 1 and "broken.png" in sides.generated.skipped[0]


def test_rows_are_spread_and_partners_fit_without_crowding(rows: tuple[Row, ...]) -> None:
    assert len(even(rows, 7)) == 7 and len({row.source for row in even(rows, 12)}) == 3
    assert len(even(rows[:3], 9)) == 3
    asked = [row_of_prompt(row.prompt) for row in rows[:20]]
    found = partners(asked, rows)
    assert all(rows[place].prompt == row.prompt for place, row in zip(found, asked, strict=True))
    same = [row_of_prompt("Normal chest X-ray")] * 3
    assert sorted(partners(same, same)) == [0, 1, 2]


def test_blind_pairs_are_of_one_condition_and_shuffled_once_per_seed(blurred: Sides) -> None:
    pairs = blind_pairs(blurred, 1)
    assert pairs == blind_pairs(blurred, 1) != blind_pairs(blurred, 2)
    rows, others = blurred.generated.rows, blurred.real.rows
    expected = [i for i, row in enumerate(rows) if any(is_alike(row, other) for other in others)]
    assert sorted(place for place, _, _ in pairs) == expected and 5 < len(expected) < 40
    for place, partner, _ in pairs:
        asked, real = rows[place], others[partner]
        assert asked.view in ("", real.view) and asked.sex in ("", real.sex) and asked.age_group in ("", real.age_group)
        assert not asked.findings or set(real.findings) >= set(asked.findings)
    assert 0 < sum(left for _, _, left in pairs) < len(pairs)


def test_a_real_image_with_a_further_finding_is_of_another_condition() -> None:
    asked = row_of_prompt("PA chest X-ray of a child with pneumonia")
    real = replace(asked, sex="F", findings=("pneumonia", "bacterial_pneumonia"))
    assert is_alike(asked, real) and not is_alike(asked, replace(real, view="AP"))
    assert not is_alike(asked, replace(real, findings=("pneumonia", "edema")))
    assert not is_alike(replace(asked, sex="M"), real)
    assert is_alike(row_of_prompt("PA chest X-ray of a child"), real)  # states no finding


def test_a_window_spreads_its_levels() -> None:
    image = np.array([[0.0, 0.25, 0.5, 1.0]], np.float32)
    assert with_window(image, 0.25, 0.75).tolist() == [[0.0, 0.0, 0.5, 1.0]]


def test_every_comparison_detects_blur(blurred: Sides) -> None:
    found = {one.measure: one for one in compare(blurred).measures}
    sharp = found["sharpness"]
    assert sharp.generated.mean() < 0.3 * sharp.real.mean() and sharp.mean.real == pytest.approx(sharp.real.mean())
    assert sharp.ratio.value == pytest.approx(sharp.generated.mean() / sharp.real.mean())
    assert sharp.ratio.interval is not None and sharp.ratio.interval[1] < 0.5
    expected = ks_2samp(sharp.generated, sharp.real)
    assert (sharp.gap, sharp.p) == (expected.statistic, expected.pvalue)
    assert sharp.verdict == "very strong evidence of a difference"
    shares = histogram(sharp).lines
    assert all(sum(filter(None, line)) == pytest.approx(1) for line in shares.values())
    curve = cumulative(sharp)
    gap = max(abs(a - b) for a, b in zip(curve.lines["real"], curve.lines["generated"], strict=True))  # type: ignore
    assert gap == pytest.approx(sharp.gap) and curve.lines["real"][-1] == 1
    spectrum = spectra(blurred).lines
    assert spectrum["generated"][-1] < 0.1 * spectrum["real"][-1]  # type: ignore[operator]
    assert compare(blurred).spectral.value > compare(blurred).spectral.real  # type: ignore[operator]


def test_a_set_does_not_differ_from_itself(real: ImageSet) -> None:
    some = real.take(range(30))
    found = compare(Sides(some, some, "val"))
    assert all(one.gap == 0 and one.verdict == "no evidence of a difference" for one in found.measures)
    means = mean_images(Sides(some, some, "val"))
    assert means.reach == 0 and means.variation == 1


def test_the_test_uses_one_real_image_per_patient(blurred: Sides) -> None:
    real = blurred.real
    copies = ImageSet("real", np.repeat(real.images, 3, axis=0), tuple(row for row in real.rows for _ in range(3)))
    once, thrice = (compare(replace(blurred, real=films)).measures for films in (real, copies))
    assert [one.p for one in thrice] == [one.p for one in once]
    strangers = replace(
        copies, rows=tuple(replace(r, patient_id="", path=Path(f"{i}.png")) for i, r in enumerate(copies.rows))
    )
    apart = {one.measure: one.p for one in compare(replace(blurred, real=strangers)).measures}
    assert all(apart[one.measure] < one.p for one in once if one.gap)  # type: ignore[operator]


def test_few_images_have_measures_but_no_test(blurred: Sides) -> None:
    few = Sides(blurred.generated.take(range(3)), blurred.real, "val")
    assert all(one.gap is None and one.verdict == "needs 8 images on each side" for one in compare(few).measures)
    assert compare(few).spectral.value is None and "5 images" in compare(few).spectral.reason
    empty = Sides(blurred.generated.take([]), blurred.real, "val")
    for compute in (compare, gray_levels, spectra, mean_images):
        with pytest.raises(StudioError, match="generated images of the condition, not 0"):
            compute(empty)


def test_mean_images_are_means_and_differences(blurred: Sides) -> None:
    found = mean_images(blurred)
    assert np.allclose(found.difference, blurred.generated.images.mean(0) - blurred.real.images.mean(0), atol=1e-6)
    assert found.reach == pytest.approx(np.abs(found.difference).max())
    assert found.most_deviation == pytest.approx(max(blurred.real.images.std(0).max(), found.generated_deviation.max()))
    levels = gray_levels(blurred).lines
    assert sum(levels["real"]) == pytest.approx(1) and len(levels["real"]) == 64  # type: ignore[arg-type]


def test_ratios_are_generated_divided_by_real(blurred: Sides) -> None:
    now = ratios_now(compare(blurred), mean_images(blurred), (3.0, 2.0))
    assert now["Distance to the nearest real image"] == 1.5 and now["Sharpness"] < 0.3  # type: ignore[operator]
    assert ratios_now(compare(blurred), mean_images(blurred), (3.0, 0.0))["Distance to the nearest real image"] is None


def test_the_table_has_a_line_for_each_image_with_its_measures(blurred: Sides) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(blurred, compare(blurred)))))
    assert [line["side"] for line in lines] == ["real"] * 40 + ["generated"] * 40
    assert lines[0]["image"] == blurred.real.rows[0].path.name
    assert float(lines[40]["sharpness"]) == pytest.approx(
        image_quality.sharpness(blurred.generated.images[0]), rel=1e-4
    )


def test_the_sheet_holds_both_sides(blurred: Sides) -> None:
    height, width = read_image(encode_comparison(blurred, "tiny")).shape
    assert width == 8 * 64 and height > 64 * (3 + 3)  # 24 of the 40 images of each side, 8 to a line


def test_the_table_holds_no_formula(blurred: Sides) -> None:
    first, *others = blurred.generated.rows
    rows = (dataclasses.replace(first, prompt="=HYPERLINK(1)"), *others)
    sides = dataclasses.replace(blurred, generated=dataclasses.replace(blurred.generated, rows=rows))
    lines = list(csv.DictReader(io.StringIO(to_csv(sides, compare(blurred)))))
    assert lines[40]["caption"] == "'=HYPERLINK(1)"


@pytest.mark.parametrize("space", [PIXELS, RADIOMICS])
def test_a_copy_has_its_original_as_nearest_neighbor(real: ImageSet, space: str, tmp_path: Path) -> None:
    films = real.take(range(0, 200, 5))
    generated = ImageSet("generated", films.images[[7, 3]], (row_of_prompt("a"), row_of_prompt("b")), ("a", "b"))
    found = neighborhood(Sides(generated, films, "all"), space, find_features(space, tmp_path, None))
    assert [found.of(place, 1)[0].place for place in (0, 1)] == [7, 3]
    assert found.nearest.max() < 1e-4 < found.real_nearest.min()
    distances = [neighbor.distance for neighbor in found.of(0, 5)]
    assert distances == sorted(distances) and found.share_nearer(distances[0]) == 0
    assert set(nearest_curve(found).lines) == {"real to real", "generated to real"}


def test_pixel_distance_is_in_gray_levels_and_between_patients(rows: tuple[Row, ...]) -> None:
    flat = np.stack([np.full((64, 64), level / 255, np.float32) for level in (10, 20, 50)])
    owners = tuple(replace(rows[0], patient_id=name) for name in ("a", "a", "b"))
    real = ImageSet("real", flat, owners)
    found = neighborhood(
        Sides(ImageSet("generated", flat[:1] + 5 / 255), real, "val"), PIXELS, find_features(PIXELS, Path(), None)
    )
    assert found.distances[0] == pytest.approx([5, 5, 35]) and found.real_nearest == pytest.approx([40, 30, 30])


def test_a_missing_encoder_is_no_space_and_an_error(tmp_path: Path, blurred: Sides) -> None:
    assert spaces_at_hand(tmp_path) == (RADIOMICS, PIXELS)
    with pytest.raises(StudioError, match="no reference encoder"):
        find_features("reference encoder", tmp_path, None)
    with pytest.raises(StudioError, match="3 real images"):
        neighborhood(
            Sides(blurred.generated, blurred.real.take([0, 1]), "val"), PIXELS, find_features(PIXELS, tmp_path, None)
        )


def test_a_planted_copy_is_flagged_and_matched_with_its_original(real: ImageSet, tmp_path: Path) -> None:
    train = [i for i, row in enumerate(real.rows) if row.split == "train"]
    unseen = real.take([i for i, row in enumerate(real.rows) if row.split != "train"])
    noise = np.random.default_rng(0).random((3, 64, 64)).astype(np.float32)
    images = np.concatenate([real.images[train[5]][None, :, ::-1], noise])
    generated = ImageSet("generated", images, (), ("copy", "x", "y", "z"))
    space = feature_space(tmp_path / "none", unseen, None)
    assert isinstance(space, Radiomics)
    found = check_memorization(generated, unseen, [real.rows[i] for i in train], space, tmp_path)
    first = found.pairs[0]
    assert (first.image, first.path, first.flagged, first.flipped) == ("copy", real.rows[train[5]].path, True, True)
    assert found.num_flagged == 1 and found.num_training == len(train) and len(found.pairs) == 4
    assert first.score > first.threshold and first.similarity > 0.95
    with pytest.raises(StudioError, match="no generated image"):
        check_memorization(generated.take([]), unseen, [real.rows[i] for i in train], space, tmp_path)
    with pytest.raises(StudioError, match="19 unseen"):
        check_memorization(generated, unseen.take(range(9)), [real.rows[i] for i in train], space, tmp_path)


def test_pairs_of_a_record_are_read_with_training_images_that_are_here(rows: tuple[Row, ...]) -> None:
    line = {
        "image": "a.png",
        "flagged": True,
        "training_by_pixels": f"images/{rows[0].path.name}",
        "similarity": 0.9,
        "flipped": False,
        "training_by_features": "x",
        "distance": 1.0,
        "score": 2.0,
        "threshold": 1.5,
    }
    table = (line, {**line, "training_by_pixels": "images/elsewhere.jpg"}, {"image": "damaged"})
    record = Record("tiny", "quick", "2026-01-01", "x", None, {}, (), tables={"closest_pairs": table})
    pairs = recorded_pairs(record, rows)
    assert [pair.path for pair in pairs] == [rows[0].path, None] and pairs[0].flagged
