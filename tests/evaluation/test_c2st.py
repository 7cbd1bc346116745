import numpy as np

from xray_generator.data.rows import Row
from xray_generator.evaluation.c2st import compare, out_of_fold_scores
from xray_generator.evaluation.features import Remembering
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.measures import MEASURES
from xray_generator.reference_encoder.metrics import auroc


def test_noisy_images_are_told_from_real_ones_and_real_ones_are_not(
    real: ImageSet, radiomics_space: Remembering
) -> None:
    order = np.random.default_rng(0).permutation(len(real))
    some, others = real.take(order[:80]), real.take(order[80:])
    noise = np.random.default_rng(1).normal(0, 0.02, some.images.shape)
    noisy = ImageSet("generated", np.clip(some.images + noise, 0, 1).astype(np.float32))
    found = compare(noisy, others, radiomics_space, np.random.default_rng(0), "x", "test")
    assert found.measure in MEASURES and found.interval[0] > 0.9 and found.n == found.real_n == 58  # patients
    hidden = compare(some, others, radiomics_space, np.random.default_rng(0))
    assert hidden.interval[0] < 0.5 < hidden.interval[1] and abs(hidden.real - 0.5) < 0.2


def test_the_images_of_one_patient_stay_in_one_fold() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 4)
    features = rng.normal(size=(40, 60))[patients]  # four equal images each, nothing to learn but who it is
    truth = rng.permutation(np.repeat([0.0, 1.0], 20))[patients]
    by_patient = auroc(truth=truth, **named(*out_of_fold_scores(features, truth, patients.astype(str), rng)))
    by_image = auroc(truth=truth, **named(*out_of_fold_scores(features, truth, np.arange(160).astype(str), rng)))
    assert by_patient < 0.7 < 0.95 < by_image


def named(scores: np.ndarray, folds: np.ndarray) -> dict[str, np.ndarray]:
    return {"scores": scores, "strata": folds}


def test_few_images_or_patients_are_refused(real: ImageSet, radiomics_space: Remembering) -> None:
    few = compare(real.take(range(19)), real, radiomics_space, np.random.default_rng(0))
    assert few.value is None and "20 images of 5 patients" in few.reason
    rows = tuple(Row(row.path, row.prompt, (), patient_id=str(i % 3)) for i, row in enumerate(real.rows))
    three = ImageSet("real", real.images, rows)
    assert "5 patients" in compare(real, three, radiomics_space, np.random.default_rng(0)).reason
