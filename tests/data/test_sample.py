"""The sample maker: the same choice each time, both layouts readable, nothing of the machine inside."""

from pathlib import Path

from xray_generator.data.read import read_dataset
from xray_generator.data.sample import choose, write_captioned, write_indiana


def test_sample_of_the_sample(sample_folder: Path, tmp_path: Path) -> None:
    rows = [row for row in read_dataset(sample_folder).split("train") if row.native_size == 256]
    chosen = choose(rows, 9)
    assert chosen == choose(rows[::-1], 9)
    assert len({row.patient_id for row in chosen}) == 9
    assert len({row.source for row in chosen}) == 3
    write_captioned(chosen, sample_folder, tmp_path)
    copied = {row.path.name for row in read_dataset(tmp_path).rows if row.native_size == 256}
    assert copied == {row.path.name for row in chosen}


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
