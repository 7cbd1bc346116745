"""Memory and disk of the machine that runs the tests."""

from pathlib import Path

from xray_generator.machine import empty_folder, folder_bytes, free_bytes, peak_bytes, read_memory, size_text


def test_memory_of_this_process_lies_within_that_of_the_machine() -> None:
    before = read_memory()
    block = bytearray(64_000_000)
    after = read_memory()
    assert 10_000_000 < before.used < before.total and after.used > before.used + len(block) / 2
    assert 0 < after.available <= after.total
    del block
    assert after.used <= peak_bytes() * 1.01 and peak_bytes() < after.total  # the system counts the two apart


def test_a_folder_is_counted_and_emptied_and_what_it_links_to_stays(tmp_path: Path) -> None:
    folder, outside = tmp_path / "cache", tmp_path / "outside"
    (folder / "a" / "b").mkdir(parents=True)
    outside.mkdir()
    (outside / "kept").write_bytes(bytes(5_000))
    (folder / "one").write_bytes(bytes(700))
    (folder / "a" / "b" / "two").write_bytes(bytes(300))
    (folder / "link").symlink_to(outside, target_is_directory=True)
    assert folder_bytes(folder) == 1_000
    empty_folder(folder)
    assert folder.is_dir() and not list(folder.iterdir()) and (outside / "kept").is_file()
    assert folder_bytes(tmp_path / "nowhere") == 0
    empty_folder(tmp_path / "nowhere")


def test_free_space_is_that_of_the_nearest_folder(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "there") > 0


def test_sizes_are_written_for_people() -> None:
    sizes = [0, 512, 999_000, 1_200_000, 345_600_000, 7_800_000_000, 2_000_000_000_000]
    assert [size_text(size) for size in sizes] == ["0 KB", "0.5 KB", "999 KB", "1.2 MB", "346 MB", "7.8 GB", "2.0 TB"]
