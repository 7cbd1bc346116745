"""Records as the suites write them, small: of weights that are here, of others, and of a folder."""

import shutil
from dataclasses import replace
from pathlib import Path

from streamlit.testing.v1 import AppTest

from tests.pages.generator import FRAME, TIMEOUT_S
from xray_generator.evaluation.records import Curve, Measurement, Record, write_record
from xray_generator.types import CheckpointRef

ENCODER, PARTS, RADIOMICS = "classifier@c9d40e0ea6cf", "classifier@c9d40e0ea6cf, 32 components", "radiomics 1"
HERE = CheckpointRef("latent_diffusion", "tiny", "ab" * 32)
SETTINGS = {
    "num_images": 100,
    "num_inference_steps": 20,
    "guidance_scale": 3.0,
    "scheduler": "dpm++",
    "real": "films",
    "split": "val+test",
    "num_real": 218,
    "processor": "Some *processor*",
    "device": "cpu",
    "threads": 2,
}
BINS = (1.0, 2.0, 3.0)
CURVES = {
    "spectrum": Curve(
        "Power spectrum", "cycles", "power", BINS, {"generated": (9.0, 3.0, 1.0), "real": (9.0, 4.0, 2.0)}
    ),
    "sharpness_distribution": Curve(
        "Sharpness", "gray levels²", "share of images", BINS, {"real": (0.0, 0.5, 0.5), "generated": (1.0, 0.0, 0.0)}
    ),
    "speed": Curve("Time for one image", "steps", "milliseconds", (4.0, 20.0), {"dpm++": (100.0, 500.0)}),
    "kernel_distance_by_guidance_scale": Curve(
        "Kernel distance",
        "guidance scale",
        "Kernel distance",
        (1.0, 3.0),
        {"generated": (0.5, None), "real": (0.1, 0.1)},
    ),
    "kernel_distance_by_num_inference_steps": Curve(
        "Kernel distance", "num inference steps", "Kernel distance", (4.0, 20.0), {"generated": (0.9, 0.5)}
    ),
    "utility": Curve("Learning", "images", "AUROC", (10.0, 20.0), {"generated alone": (0.6, 0.7)}),
    "of_a_later_version": Curve("Something new", "x", "y", BINS, {"<b>line</b>": (1.0, 2.0, 3.0)}),
}
TABLES = {
    "components": ({"component": "unet", "parameters": 12_345},),
    "confusion": ({"label": "pneumonia", "images": "generated", "true_positive": 5},),
}


def measurements(factor: float = 1.0) -> tuple[Measurement, ...]:
    """What a suite finds; most values grow with `factor`."""
    at = {"steps": 20, "scheduler": "dpm++", "guidance_scale": 3.0}
    spread = (0.4 * factor, 0.6 * factor)
    return (
        Measurement("latency_ms", 100 * factor, 3, settings={**at, "steps": 4}),
        Measurement("latency_ms", 500 * factor, 3, settings=at),
        Measurement("images_per_second", 2 / factor, 3, settings=at),
        Measurement("parameters", 12_345.0, 1),
        Measurement("sharpness", 50 * factor, 100, None, 100.0, 218, split="val+test"),
        Measurement("sharpness_ratio", 0.5 * factor, 100, spread, real_n=218, split="val+test"),
        Measurement("frechet_ratio", None, 100, extractor=ENCODER, reason="too few images"),
        Measurement("frechet_ratio", 1.5 * factor, 100, spread, extractor=PARTS),
        Measurement("frechet_ratio", 14.0 * factor, 100, extractor=RADIOMICS),
        Measurement("precision", 0.5 * factor, 100, spread, 0.9, 100, split="val+test", extractor=ENCODER),
        Measurement("precision", 0.01, 100, None, 0.9, 100, split="val+test", extractor=RADIOMICS),
        Measurement("precision", 0.45 * factor, 50, None, 0.9, 50, "pneumonia", extractor=ENCODER),
        Measurement("recall", 0.5, 100, None, 0.9, 100, extractor=ENCODER),
        Measurement("copy_rate", 0.0, 100, (0.0, 0.04), 0.02, 218, extractor=ENCODER),
        Measurement("copy_rate", 0.0, 40, (0.0, 0.1), condition="M", extractor=ENCODER),
        Measurement("copies_found", 0.99, 200, extractor=ENCODER),
        Measurement("copies_found", 0.96, 50, condition="cropped", extractor=ENCODER),
        Measurement("prompt_accuracy", 0.7, 89, (0.6, 0.8), 0.8, 103, "pneumonia", "test", ENCODER),
        Measurement("prompt_accuracy", None, 100, condition="mass", extractor=ENCODER, reason="0 test films have it"),
        Measurement("kernel_distance", 0.5, 200, extractor=ENCODER, settings={"guidance_scale": 1.0}),
        Measurement("sharpness_ratio", 0.25 * factor, 200, settings={"num_inference_steps": 4}),
        Measurement("sharpness_ratio", 0.5 * factor, 200, settings={"num_inference_steps": 20}),
        Measurement("sharpness_ratio", 0.6 * factor, 200, settings={"num_inference_steps": 50}),
        Measurement("of_a_later_version", 1.0, 5),
    )


FULL = Record(
    "tiny",
    "full",
    "2026-01-02T03:04:05+00:00",
    "1234567",
    HERE,
    SETTINGS,
    measurements(),
    CURVES,
    TABLES,
    ("One film | was *left out*.",),
)
QUICK = replace(
    FULL,
    suite="quick",
    created="2026-03-02T03:04:05+00:00",
    curves={},
    tables={},
    measurements=tuple(m for m in measurements() if not {"guidance_scale", "num_inference_steps"} & m.settings.keys()),
)
GONE = replace(
    FULL,
    subject="longer",
    checkpoint=CheckpointRef("latent_diffusion", "longer", "cd" * 32),
    created="2026-01-01T00:00:00+00:00",
    measurements=measurements(0.9),
)
FOLDER = replace(
    FULL,
    subject="folder <b>of *others*",
    checkpoint=None,
    created="2025-12-01T00:00:00+00:00",
    measurements=measurements(0.8),
)


def keep(output_dir: Path, *records: Record) -> None:
    """Write records where the studio looks for them."""
    shutil.rmtree(output_dir / "metrics", ignore_errors=True)
    for record in records:
        write_record(record, output_dir / "metrics")


def open_page(script: str) -> AppTest:
    """A page of the frame after its first run."""
    page = AppTest.from_file(FRAME, default_timeout=TIMEOUT_S).run().switch_page(script).run()
    assert not page.exception
    return page


def words(page: AppTest) -> str:
    """All text of the page, as it was before it was made safe to draw."""
    parts = [*page.text, *page.caption, *page.info, *page.warning, *page.error, *page.markdown, *page.subheader]
    return "\n".join(str(part.value) for part in parts).replace("\\", "")
