"""The numbers of the panel on structure and prompt: bands in order, denials in words, and what is missing."""

from dataclasses import replace

from tests.pages.record_samples import FULL
from xray_generator.dashboards.structure import Denial, read_structure
from xray_generator.evaluation.records import Measurement

SCORES = {"stated": 0.6, "normal": 0.1}
FOUND = (
    Measurement("linear_v_error", 0.4, 64),
    Measurement("latent_fragility", None, reason="This model has no autoencoder."),
    Measurement("band_power", 0.5, 64, (0.4, 0.6), condition="16 to 32 cycles"),
    Measurement("band_power", 0.9, 64, (0.8, 1.0), condition="4 to 8 cycles"),
    Measurement("band_power", 1.1, 24, condition="4 to 8 cycles, from middle noise"),
    Measurement("fact_response", 0.3, 32, (0.2, 0.4), condition="PA to AP"),
    Measurement("denied_score", 0.5, 16, condition="pleural_effusion", real=0.05, settings=SCORES),
    Measurement("denied_score", 0.2, 16, condition="mass", settings=SCORES),
)
STRUCTURED = replace(FULL, measurements=(*FULL.measurements, *FOUND))


def test_a_record_without_these_measures_has_none_of_them() -> None:
    found = read_structure(FULL)
    assert not (found.whole or found.bands or found.responses or found.denials)
    assert len(found.missing) == 5 and found.missing[0] == "Error of the best linear denoiser (not in this record)"


def test_bands_run_from_coarse_to_fine_for_each_origin() -> None:
    found = read_structure(STRUCTURED)
    assert found.band_names == ("4 to 8 cycles", "16 to 32 cycles") and found.bands is not None
    assert found.bands.lines == {"from noise": (0.9, 0.5), "from middle noise": (1.1, None)}
    assert list(found.whole) == ["linear_v_error"] and list(found.responses) == ["PA to AP"]
    assert found.missing == ("Loss by errors of the latents (This model has no autoencoder)",)


def test_a_denied_finding_is_left_out_or_drawn() -> None:
    found = read_structure(STRUCTURED).denials
    assert [(d.finding, d.verdict, d.real) for d in found] == [
        ("mass", "left out", None),
        ("pleural effusion", "drawn although denied", 0.05),
    ]
    assert Denial("mass", 0.1, 0.1, 0.1, None, 16).verdict == "not drawn even where it is named"
    assert Denial("mass", None, 0.1, 0.1, None, 16).verdict == "not measured"
