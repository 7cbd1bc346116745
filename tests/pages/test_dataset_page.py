"""The dataset explorer as a visitor uses it: filters, five looks, and uploads of every kind."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image as PILImage
from streamlit.testing.v1 import AppTest

from pages.explore.dataset_images import decode
from tests.data.test_ct_series import series
from tests.pages.explorer import ROOT, open_page, open_tab, run, said, small
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row

LABELS, STATISTICS, HEALTH, MAP = "Labels and people", "Image statistics", "Health", "Map"


@pytest.fixture(autouse=True)
def dataset_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The dataset that ships, no encoder, and nothing cached."""
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    monkeypatch.setenv("DATASET_PATH", str(ROOT / "dataset"))
    st.cache_resource.clear()
    st.cache_data.clear()
    return ROOT / "dataset"


@pytest.fixture
def rows(dataset_path: Path) -> tuple[Row, ...]:
    return read_dataset(dataset_path).rows


@pytest.fixture
def page() -> AppTest:
    return open_page()


def upload(page: AppTest, files: dict[str, bytes]) -> AppTest:
    page.segmented_control(key="dataset_kind").set_value("Your upload")
    run(page)
    page.file_uploader(key="dataset_files").set_value([(name, data, "") for name, data in files.items()])
    return run(page)


def png(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    PILImage.fromarray(np.random.default_rng(seed).integers(0, 255, (64, 64), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_the_first_image_is_shown_with_all_its_facts(page: AppTest, rows: tuple[Row, ...]) -> None:
    text = said(page)
    assert f"{len(rows)} of {len(rows)} images" in text
    assert f"1 of {len(rows)}" in text
    assert f"Real image · images/{rows[0].path.name}" in text
    for fact in (rows[0].prompt, rows[0].source, rows[0].patient_id, rows[0].license, "Winther", "Sharpness"):
        assert fact in text
    assert len(page.get("image")) == 1
    assert not page.error


def test_next_and_previous_walk_through_the_rows(page: AppTest, rows: tuple[Row, ...]) -> None:
    assert page.button(key="dataset_previous").disabled
    page.button(key="dataset_next").click()
    assert rows[1].path.name in said(run(page))
    page.session_state["dataset_server_chosen"] = rows[24].path
    assert f"25 of {len(rows)}" in said(run(page))
    page.button(key="dataset_previous").click()
    assert f"24 of {len(rows)}" in said(run(page))
    page.session_state["dataset_server_chosen"] = rows[-1].path
    assert run(page).button(key="dataset_next").disabled


def test_filters_and_search_narrow_the_count(page: AppTest, rows: tuple[Row, ...]) -> None:
    page.multiselect(key="dataset_server_findings").set_value(["pneumonia", "covid19"])
    left = sum(bool({"pneumonia", "covid19"} & set(row.findings)) for row in rows)
    assert f"{left} of {len(rows)} images" in said(run(page))
    page.multiselect(key="dataset_server_split").set_value(["test"])
    page.text_input(key="dataset_server_query").set_value('pneumonia "chest x-ray"')
    left = sum(
        {"pneumonia", "covid19"} & set(row.findings) != set()
        and row.split == "test"
        and "pneumonia" in row.prompt.lower()
        and "chest x-ray" in row.prompt.lower()
        for row in rows
    )
    assert left
    text = said(run(page))
    assert f"{left} of {len(rows)} images" in text
    assert "pneumonia or COVID-19 · split test" in text
    page.button(key="dataset_clear").click()
    assert f"{len(rows)} of {len(rows)} images" in said(run(page))


def test_an_age_range_leaves_out_images_of_unknown_age(page: AppTest, rows: tuple[Row, ...]) -> None:
    ages = [row.age for row in rows if row.age is not None]
    page.slider(key="dataset_server_ages").set_value((min(ages), 40))
    assert f"{sum(age <= 40 for age in ages)} of {len(rows)} images" in said(run(page))


def test_without_a_match_the_page_says_what_to_do(page: AppTest) -> None:
    page.text_input(key="dataset_server_query").set_value("zebra [x](y)")
    text = said(run(page))
    assert text.count("0 of ") == 1
    assert "No image matches these filters" in text
    assert page.download_button(key="dataset_csv").disabled
    assert "search zebra [x](y)" in text


def test_labels_and_patients_are_counted(page: AppTest, rows: tuple[Row, ...]) -> None:
    open_tab(page, LABELS)
    tiles = {metric.label: metric.value for metric in page.metric}
    assert tiles["Images"] == str(len(rows))
    assert tiles["Patients"] == str(len({row.patient_id for row in rows}))
    table = page.dataframe[0].value.set_index("Finding")
    present = sum("covid19" in row.findings for row in rows)
    assert table.loc["COVID-19"].tolist() == [present, 0, len(rows) - present]
    counts = heat(page)
    page.toggle(key="dataset_share").set_value(True)
    shares = heat(run(page))
    assert max(max(row) for row in counts) > 1
    assert max(max(row) for row in shares) == 1


def heat(page: AppTest) -> list[list[float]]:
    figures = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
    (found,) = [figure for figure in figures if figure["data"][0]["type"] == "heatmap"]
    return [[float(text) for text in row] for row in found["data"][0]["text"]]


def test_image_statistics_name_their_n_by_group(rows: tuple[Row, ...], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DATASET_PATH", str(small(rows, tmp_path / "pack", 12)))
    page = open_tab(open_page(), STATISTICS)
    assert "12 images" in said(page)
    assert said(page).count("n = 12") == 2
    figures = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
    assert len(figures) == 6
    assert figures[0]["data"][0]["name"] == "x<br>n = 12"
    page.segmented_control(key="dataset_server_group").set_value("split")
    run(page)
    names = [trace["name"] for trace in json.loads(page.get("plotly_chart")[0].proto.spec)["data"]]
    assert names == [f"{s}<br>n = {sum(r.split == s for r in rows[:12])}" for s in sorted({r.split for r in rows[:12]})]


def test_health_lists_issues_without_paths_of_the_server(
    rows: tuple[Row, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small(rows, tmp_path / "pack", 4)
    (folder / "images" / rows[0].path.name).write_bytes(rows[1].path.read_bytes())
    (folder / "images" / rows[2].path.name).write_bytes(b"x")
    monkeypatch.setenv("DATASET_PATH", str(folder))
    page = open_tab(open_page(), HEALTH)
    text = said(page)
    assert "1 · Images that cannot be read" in text.replace("*", "")
    assert "Identical pixels" in text
    assert f"images/{rows[2].path.name}" in page.dataframe[0].value["Files"].tolist()
    assert page.download_button(key="dataset_health_json")
    assert str(tmp_path) not in text + page.dataframe[0].value.to_string()


def test_health_reports_a_dataset_without_issues(
    rows: tuple[Row, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATASET_PATH", str(small(rows, tmp_path / "pack", 4)))
    assert "No issues in 4 images" in said(open_tab(open_page(), HEALTH))


def test_large_datasets_are_measured_only_on_request(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pages.explore.dataset_images.AUTOMATIC", 3)
    for tab, key in ((STATISTICS, "dataset_measure"), (HEALTH, "dataset_check"), (MAP, "dataset_draw_map")):
        open_tab(page, tab)
        assert page.button(key=key)
        assert not page.get("plotly_chart")
    open_tab(page, HEALTH).button(key="dataset_check").click()
    assert "No issues in" in said(run(page))


def test_the_map_states_its_features_and_n(
    rows: tuple[Row, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATASET_PATH", str(small(rows, tmp_path / "pack", 30)))
    page = open_tab(open_page(), MAP)
    assert "PCA of 46 features, radiomics 1; n = 30." in said(page)
    spec = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert [trace["name"] for trace in spec["data"]] == ["x"]
    assert rows[0].path.name in spec["data"][0]["text"][0]
    page.selectbox(key="dataset_server_color_2").set_value("covid19")
    page.segmented_control(key="dataset_map_method_2").set_value("t-SNE")
    run(page)
    assert "t-SNE of 46 features, radiomics 1; n = 30." in said(page)
    names = {trace["name"] for trace in json.loads(page.get("plotly_chart")[0].proto.spec)["data"]}
    assert names == {"COVID-19", "COVID-19 not stated"}


def test_map_of_too_few_images_says_so(rows: tuple[Row, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASET_PATH", str(small(rows, tmp_path / "pack", 2)))
    page = open_tab(open_page(), MAP)
    assert "A map needs 3 readable images or more, not 2." in page.error[0].value.replace("\\", "")


def test_every_dataset_that_ships_can_be_opened_and_trained_on(page: AppTest, dataset_path: Path) -> None:
    titles = ["Chest X-rays", "Chest X-rays, reports in the Indiana layout", "Blood cells", "Brain MRI", "Lung CT"]
    picker = page.selectbox(key="dataset_place")
    assert picker.options == titles
    for place, folder in ((1, ""), (2, "blood_cells"), (3, "brain_mri"), (4, "lung_ct")):
        page.selectbox(key="dataset_place").select_index(place)
        number = len(read_dataset(dataset_path / folder).rows) if folder else 24
        assert f"{number} of {number} images" in said(run(page)) and not page.error
        open_tab(page, "Train on it")
        command = page.code[0].value
        assert f"--dataset_path {dataset_path / folder}" in command and "--quick_test" in page.code[1].value
        assert ("--config lung_ct_128" in command) == (folder == "lung_ct")
        assert ("--config brain_mri_256" in command) == (folder == "brain_mri")
        assert ("--reports_csv" in command) == (folder == "")


def test_images_of_classes_are_filtered_and_counted_by_class(page: AppTest) -> None:
    page.selectbox(key="dataset_place").select_index(2)
    assert "Basophil" in said(run(page)) and "Not known: view, sex, age" in said(page)
    page.multiselect(key="dataset_server2_label").set_value(["basophil", "immature_granulocyte"])
    text = said(run(page))
    assert "20 of 80 images" in text and "class Basophil or Immature granulocyte" in text
    assert "dataset_server2_findings" not in page.session_state
    open_tab(page, LABELS)
    table = page.dataframe[0].value.set_index("Class")
    assert table.loc["Immature granulocyte", "(all)"] == 10
    assert [title.value for title in page.subheader] == ["Classes", "Split and source"]  # no chart of what is unknown
    assert "No issues in 80 images" in said(open_tab(page, HEALTH))


def test_ct_slices_are_shown_through_the_window_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series(tmp_path / "scans" / "one", num=3)
    monkeypatch.setenv("DATASET_PATH", str(tmp_path / "scans"))
    page = open_page()
    assert "3 of 3 images" in said(page) and not page.error and len(page.get("image")) == 1
    row = read_dataset(tmp_path / "scans").rows[0]
    assert np.array_equal(decode(row.path, row.hu_window), row.image())
    assert not np.array_equal(decode(row.path, None), row.image())
    assert page.selectbox(key="dataset_place").options[0] == "scans"  # the folder of a scan is no dataset of its own
    assert "labels=[]" in open_tab(page, "Train on it").code[0].value


def test_uploaded_images_are_explored_without_a_table(page: AppTest) -> None:
    upload(page, {"a.png": png(1), "b.png": png(2), "bad.png": b"x"})
    text = said(page)
    assert "2 images without a table" in text
    assert "1 images cannot be read" in text
    assert "2 of 2 images" in text
    assert "Not known: split, view" in text
    assert "came without a table" in said(open_tab(page, LABELS))
    text = said(open_tab(page, HEALTH))
    assert "no splits, patients or prompts to check" in text and "1 · Left out" in text.replace("*", "")
    open_tab(page, STATISTICS)


def test_the_folders_of_an_uploaded_zip_are_classes(page: AppTest) -> None:
    members = {f"mine/{name}/{i}.png": png(i) for i, name in enumerate(["covid"] * 5 + ["other"] * 5)}
    upload(page, {"x.zip": zipped(members)})
    assert "10 images of 2 classes: Covid, Other" in said(page)
    assert "No issues in 10 images" in said(open_tab(page, HEALTH))
    assert "--dataset_path FOLDER" in open_tab(page, "Train on it").code[0].value
    next(field for field in page.multiselect if field.label == "Class").set_value(["covid"])
    assert "5 of 10 images" in said(run(page))


def test_uploaded_pack_is_replaced_and_its_folder_removed(page: AppTest) -> None:
    table = b"image,caption,labels,split,patient_id\na.png,Chest *X-ray* <b>,pneumonia,val,7\n"
    upload(page, {"x.zip": zipped({"metadata.csv": table, "images/a.png": png()})})
    assert "1 image with a table" in said(page)
    assert "Chest *X-ray* <b>" in said(page)
    first = page.session_state["dataset_upload"].folder.path
    assert first.is_dir()
    upload(page, {"c.png": png(3)})
    assert not first.exists()
    assert "1 of 1 images" in said(page)
    second = page.session_state["dataset_upload"].folder.path
    page.file_uploader(key="dataset_files").set_value(None)
    assert "Choose image files or one ZIP" in said(run(page))
    assert not second.exists()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"x.zip": b"PK\x03\x04"}, "damaged or cut short"),
        ({"x.zip": zipped({"metadata.csv": b"image;caption\n"})}, "separated by semicolons"),
        ({"a.png": b"x"}, "no readable image"),
    ],
)
def test_an_upload_that_cannot_be_used_says_why(page: AppTest, files: dict[str, bytes], reason: str) -> None:
    upload(page, files)
    assert len(page.error) == 1
    assert reason in page.error[0].value.replace("\\", "")


def test_upload_outlives_a_change_of_page(page: AppTest) -> None:
    frame = AppTest.from_file(str(ROOT / "pages" / "frame.py"), default_timeout=60).run()
    upload(frame.switch_page("explore/dataset.py").run(), {"a.png": png()})
    frame.switch_page("create/enhancement.py").run()
    assert "1 of 1 images" in said(run(frame.switch_page("explore/dataset.py")))


def test_a_missing_dataset_is_one_error_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASET_PATH", str(tmp_path / "gone"))
    page = open_page()
    assert len(page.error) == 1
    assert "does not exist. Set DATASET_PATH" in page.error[0].value.replace("\\", "")
    upload(page, {"a.png": png()})
    assert not page.error


def test_a_deleted_image_is_an_error_that_names_it(
    rows: tuple[Row, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small(rows, tmp_path / "pack", 3)
    monkeypatch.setenv("DATASET_PATH", str(folder))
    page = open_page()
    (folder / "images" / rows[0].path.name).unlink()
    (folder / "images" / rows[1].path.name).write_bytes(b"x")
    error = run(page).error[0].value.replace("\\", "")
    assert error.startswith(f"{rows[0].path.name} cannot be opened")
    assert str(tmp_path) not in error
    for tab in (STATISTICS, HEALTH, LABELS):
        open_tab(page, tab)
