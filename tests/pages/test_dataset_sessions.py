"""Measurements of one session are not shown in another; names from data are never markup."""

import json
import os
from pathlib import Path

import pytest
import streamlit as st
from streamlit.runtime.caching import clear_session_data_cache

from tests.pages.explorer import ROOT, open_page, open_tab, said, small
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row

LABELS, STATISTICS, HEALTH, MAP = "Labels and people", "Image statistics", "Health", "Map"


@pytest.fixture(autouse=True)
def dataset_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The dataset that ships, no encoder, and nothing cached."""
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    st.cache_resource.clear()
    st.cache_data.clear()
    return ROOT / "dataset"


@pytest.fixture
def rows(dataset_path: Path) -> tuple[Row, ...]:
    return read_dataset(dataset_path).rows


@pytest.mark.parametrize("tab", [STATISTICS, HEALTH, MAP])
def test_measurements_end_with_their_session(
    tab: str, rows: tuple[Row, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small(rows, tmp_path / "pack", 4)
    monkeypatch.setenv("DATASET_PATH", str(folder))
    open_tab(open_page(), tab)
    path = folder / "images" / rows[0].path.name
    written_ns = path.stat().st_mtime_ns
    path.write_bytes(b"x")  # what a cache of the whole server would not see: the time stays
    os.utime(path, ns=(written_ns, written_ns))
    clear_session_data_cache("test session id")  # as Streamlit does when a visitor leaves; AppTest's only session
    other = open_tab(open_page(), tab)
    assert "not an image" in said(other) or "Images that cannot be read" in said(other)


def test_names_of_sources_are_not_markup_in_charts(
    rows: tuple[Row, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small(rows, tmp_path / "pack", 4)
    table = folder / "metadata.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], *(f"{line[:-1]}<a href=x>" for line in lines[1:])]))
    monkeypatch.setenv("DATASET_PATH", str(folder))
    for tab in (STATISTICS, MAP):
        charts = [json.loads(chart.proto.spec)["data"] for chart in open_tab(open_page(), tab).get("plotly_chart")]
        assert "<a" not in json.dumps(charts) and "&lt;a href=x&gt;" in json.dumps(charts)
