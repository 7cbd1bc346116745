"""Plain names of checkpoints and of their classes, for people; files, recipes and commands keep the short ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from xray_generator.checkpoints import Manifest
from xray_generator.data.axoneme import CLASSES
from xray_generator.registry import draws, modality, reads_prompts

SUBJECTS = {"DX": "Chest X-ray", "CT": "Lung CT", "MR": "MRI"}  # by DICOM code, where the classes do not tell
NORMAL = ("normal", "no_finding", "healthy")  # come first
STAGES = {"few_step": "Drawing in few steps"}  # of training, where their words do not tell
MIN_KNOWN = 3  # classes of a known set: two could be of other data ("ida" is also an anemia)


@dataclass(frozen=True, slots=True)
class ClassSet:
    """The classes of a dataset that ships or can be drawn: what its images show, and titles in the order of menus."""

    subject: str
    titles: Mapping[str, str]


CLASS_SETS = (
    ClassSet(
        "Brain MRI",
        MappingProxyType({"glioma": "Glioma", "meningioma": "Meningioma", "pituitary_tumor": "Pituitary tumor"}),
    ),
    ClassSet("Cilia", MappingProxyType({name: kind.title for name, kind in CLASSES.items()})),
    ClassSet(
        "Blood cells",
        MappingProxyType(
            {
                "neutrophil": "Neutrophil",
                "lymphocyte": "Lymphocyte",
                "monocyte": "Monocyte",
                "eosinophil": "Eosinophil",
                "basophil": "Basophil",
                "immature_granulocyte": "Immature granulocyte",
                "erythroblast": "Erythroblast",
                "platelet": "Platelet",
            }
        ),
    ),
)


def class_titles(labels: Sequence[str]) -> dict[str, str]:
    """Class -> its title, in the order of menus: of a known set, or the class's own words with a normal class first."""
    known = _find_set(labels)
    if known is not None:
        return {name: title for name, title in known.titles.items() if name in labels}
    return {name: plain(name) for name in sorted(labels, key=lambda name: name not in NORMAL)}


def plain(name: str) -> str:
    """A short name in words: "oda_ida" becomes "Oda ida"."""
    words = " ".join(re.split(r"[_\s]+", name.strip("_ ")))
    return words[:1].upper() + words[1:]


def stage_title(name: str) -> str:
    """A stage of training in words."""
    return STAGES.get(name) or plain(name)


def subject(manifest: Manifest) -> str:
    """What a checkpoint's images show: "Chest X-ray", "Cilia"; of unknown classes the words of its name."""
    known = _find_set(manifest.labels)
    if known is not None:
        return known.subject
    return SUBJECTS.get(modality(manifest)) or plain(re.sub(r"[_\d]+$", "", manifest.name) or manifest.name)


def checkpoint_title(manifest: Manifest) -> str:
    """A checkpoint in plain words: "Chest X-ray from text, 256 px". Several may have the same."""
    if not draws(manifest.family):
        return f"{subject(manifest)} enlarged to {' and '.join(map(str, manifest.sizes))} px"
    way = " from text" if reads_prompts(manifest) else " by class" if manifest.labels else ""
    kind = ", adapted" if manifest.base else ""
    return f"{subject(manifest)}{way}{kind}, {max(manifest.sizes)} px"


def _find_set(labels: Sequence[str]) -> ClassSet | None:
    if len(labels) < MIN_KNOWN:
        return None
    return next((known for known in CLASS_SETS if known.titles.keys() >= set(labels)), None)
