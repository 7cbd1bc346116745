"""An OUTPUT_DIR with a tiny model of two classes of CT slices, and the classifier that ships."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CT_DATA = ROOT / "dataset" / "lung_ct"


@pytest.fixture
def ct_studio(tiny_ct_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The OUTPUT_DIR of this test, which is also set."""
    folder = tmp_path / "outputs"
    (folder / "encoders").mkdir(parents=True)
    (folder / "checkpoints").symlink_to(tiny_ct_checkpoint / "checkpoints")
    (folder / "encoders" / "lung_ct_judge_128").symlink_to(ROOT / "outputs" / "encoders" / "lung_ct_judge_128")
    monkeypatch.setenv("OUTPUT_DIR", str(folder))
    monkeypatch.setenv("STUDIO_THREADS", "1")
    return folder
