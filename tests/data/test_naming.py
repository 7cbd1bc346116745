"""Plain names: of shipped classes, of classes that nobody knows, and of checkpoints."""

from dataclasses import replace

import pytest

from xray_generator.checkpoints import DataFacts, Manifest
from xray_generator.data.naming import checkpoint_title, class_titles, plain, subject
from xray_generator.types import Recommendation

MANIFEST = Manifest("cvae", "my_moles_64", {}, DataFacts(), "", "", {}, Recommendation("ddim", 4, 1.0), (32, 64))
CILIA = ("cp", "ida", "normal", "oda", "oda_ida")


def test_known_classes_have_titles_with_the_normal_one_first() -> None:
    titles = class_titles(CILIA)
    assert list(titles) == ["normal", "oda", "ida", "oda_ida", "cp"]
    assert titles["oda"] == "Outer dynein arms missing" and titles["cp"].startswith("Central pair missing")


@pytest.mark.parametrize("labels", [("ida", "normal"), ("cp", "ida", "oda", "something_else")])
def test_classes_of_other_data_keep_their_own_words(labels: tuple[str, ...]) -> None:
    assert class_titles(labels)["ida"] == "Ida"


def test_unknown_classes_are_made_readable_with_the_normal_one_first() -> None:
    assert class_titles(("benign_naevus", "melanoma", "normal")) == {
        "normal": "Normal",
        "benign_naevus": "Benign naevus",
        "melanoma": "Melanoma",
    }
    assert plain("oda_ida") == "Oda ida" and plain("COVID_19_") == "COVID 19" and plain("_") == ""


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"labels": CILIA}, "Cilia by class, 64 px"),
        ({"labels": ("neutrophil", "lymphocyte", "platelet")}, "Blood cells by class, 64 px"),
        ({"labels": ("mole", "melanoma", "normal")}, "My moles by class, 64 px"),
        ({}, "My moles, 64 px"),
        ({"name": "224"}, "224, 64 px"),
        ({"family": "flow_matching", "labels": ("benign", "malignant", "normal")}, "Lung CT by class, 64 px"),
        ({"family": "latent_diffusion", "sizes": (256,)}, "Chest X-ray from text, 256 px"),
    ],
)
def test_a_checkpoint_is_titled_by_what_it_draws_and_how(changes: dict, title: str) -> None:
    manifest = replace(MANIFEST, **changes)
    assert checkpoint_title(manifest) == title and title.startswith(subject(manifest))
