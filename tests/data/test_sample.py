"""Making samples of packs: the same choice each time, both layouts readable, no path of a machine in them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from xray_generator.data.captioned import read_captioned
from xray_generator.data.read import read_dataset
from xray_generator.data.sample import choose, main, write_captioned, write_indiana


def test_the_choice_is_stable_and_takes_every_source(sample_folder: Path, tmp_path: Path) -> None:
    rows = [row for row in read_dataset(sample_folder).split("train") if row.native_size == 256]
    chosen = choose(rows, 9)
    assert chosen == choose(rows[::-1], 9)
    assert len({row.patient_id for row in chosen}) == 9
    assert len({row.source for row in chosen}) == 3
    write_captioned(chosen, sample_folder, tmp_path)
    copied = {row.path.name for row in read_dataset(tmp_path).rows if row.native_size == 256}
    assert copied == {row.path.name for row in chosen}


def test_a_pack_without_the_column_has_512_is_copied(
    make_pack: Callable[..., Path], pixels: Callable[[int], object], tmp_path: Path
) -> None:
    pack = make_pack(["a.png,c,,p,train"], {"a.png": pixels(0)}, "image,caption,labels,patient_id,split")
    write_captioned(read_captioned(pack).rows, pack, tmp_path / "sample")
    assert (tmp_path / "sample" / "metadata.csv").read_text() == (pack / "metadata.csv").read_text()


def test_has_512_becomes_0_in_a_sample(sample_folder: Path, tmp_path: Path) -> None:
    """`has_512` says that a pack has images512/, which is not copied."""
    text = (sample_folder / "metadata.csv").read_text()
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "images").symlink_to(sample_folder / "images")
    (pack / "metadata.csv").write_text(text.replace(",0\n", ",1\n"))
    write_captioned(read_captioned(pack).rows, pack, tmp_path / "sample")
    assert (tmp_path / "sample" / "metadata.csv").read_text() == text


def test_an_unreadable_pack_ends_with_a_message_and_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--pack", str(tmp_path), "--output_dir", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("error: metadata.csv was not found")


def test_template_reports_hold_the_labels(sample_folder: Path, tmp_path: Path) -> None:
    rows = read_dataset(sample_folder).split("train")[:40:4]
    write_indiana(rows, tmp_path)
    read = read_dataset(tmp_path).rows
    assert [row.split for row in read] == ["train"] * len(rows)
    assert [set(row.findings) for row in read] == [set(row.findings) for row in rows]


def test_no_machine_path_ships(sample_folder: Path) -> None:
    for path in [*sample_folder.glob("*.csv"), sample_folder / "README.md"]:
        assert "/work" not in path.read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in sample_folder.rglob("*")) < 6_000_000
