"""How pages say what was wrong: in one way, in words, without a place of the server."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

from tests.pages.generator import TIMEOUT_S, run

PAGES = Path(__file__).parents[2] / "pages"


def test_a_fault_is_said_and_what_follows_is_drawn() -> None:
    def page() -> None:
        from pathlib import Path

        import streamlit as st

        from pages.kit.services import explain_faults
        from xray_generator.types import StudioError

        @explain_faults()
        def draw_part() -> None:
            raise StudioError("Too *large*.")

        draw_part()
        with explain_faults(st.info):
            Path("/nowhere/of/this/server/a.png").read_bytes()
        st.text("goes on")

    app = run(AppTest.from_function(page, default_timeout=TIMEOUT_S))
    assert [error.value.replace("\\", "") for error in app.error] == ["Too *large*."]
    assert [info.value.replace("\\", "") for info in app.info] == ["a.png cannot be used: No such file or directory."]
    assert app.text[0].value == "goes on"


def test_no_page_has_a_way_of_its_own() -> None:
    found = {path.relative_to(PAGES).as_posix() for path in PAGES.rglob("*.py") if "st.error(" in path.read_text()}
    assert found == {"kit/services.py"}
