"""The dataset explorer driven without a browser."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

from xray_generator.data.rows import Row

ROOT = Path(__file__).parents[2]


def open_page() -> AppTest:
    """The page after its first run."""
    return run(AppTest.from_file(str(ROOT / "pages/explore/dataset.py"), default_timeout=60))


def run(page: AppTest) -> AppTest:
    """Run the page and insist that nothing was raised."""
    page.run()
    assert not page.exception
    return page


def open_tab(page: AppTest, name: str) -> AppTest:
    """Turn to a tab."""
    page.session_state["dataset_tab"] = name
    return run(page)


def said(page: AppTest) -> str:
    """Every text of the page, as it is read."""
    parts = (page.markdown, page.caption, page.text, page.info, page.error, page.success)
    return "\n".join(str(element.value) for elements in parts for element in elements).replace("\\", "")


def small(rows: tuple[Row, ...], folder: Path, count: int) -> Path:
    """A pack of some rows of the sample."""
    (folder / "images").mkdir(parents=True)
    lines = ["image,caption,labels,split,patient_id,source"]
    for row in rows[:count]:
        (folder / "images" / row.path.name).write_bytes(row.path.read_bytes())
        lines.append(f'{row.path.name},"{row.prompt}",{"|".join(row.findings)},{row.split},{row.patient_id},x')
    (folder / "metadata.csv").write_text("\n".join(lines))
    return folder
