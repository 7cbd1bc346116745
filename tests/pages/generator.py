"""The Generator page driven without a browser."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from pages.kit.results import job_key
from pages.kit.services import job_queue
from xray_generator.jobs import Job

FRAME = Path(__file__).parents[2] / "pages" / "frame.py"
TIMEOUT_S = 60
BROWSER = "this browser"  # its cookie


def run(app: AppTest) -> AppTest:
    """Run the script and insist that nothing was raised."""
    app.run()
    assert not app.exception
    return app


def open_generator() -> AppTest:
    """The Generator after its first run."""
    app = run(AppTest.from_file(FRAME, default_timeout=TIMEOUT_S))
    app.switch_page("create/generate.py")
    return run(app)


def click(app: AppTest, key: str) -> AppTest:
    """Press a button and run."""
    app.button(key=key).click()
    return run(app)


def cancel(app: AppTest) -> AppTest:
    """Cancel the first job that runs or waits, and run."""
    next(button for button in app.button if button.label == "Cancel").click()
    return run(app)


def wait(app: AppTest) -> Job:
    """Wait for the session's latest job to end, then run once more, as the progress panel does."""
    job = job_queue().get(app.session_state[job_key(app.session_state["checkpoint"])])
    assert job is not None
    deadline = time.monotonic() + TIMEOUT_S
    while not job.is_over and time.monotonic() < deadline:
        time.sleep(0.02)
    assert job.is_over
    run(app)
    return job


def settle(app: AppTest, key: str, state: str = "done") -> AppTest:
    """Wait for the session's job under a key to end in a state, then run once more, as the page does."""
    deadline = time.monotonic() + TIMEOUT_S
    if key in app.session_state and (job := job_queue().get(app.session_state[key])):
        while not job.is_over and time.monotonic() < deadline:
            time.sleep(0.02)
        assert job.state == state, job.error
    return run(app)


def own_folder(output_dir: Path, browser: str = BROWSER) -> Path:
    """The folder of what a browser with this cookie generated."""
    return output_dir / "generated" / hashlib.sha256(browser.encode()).hexdigest()[:16]


def shown(app: AppTest) -> str:
    """Every message and plain text of the page."""
    return "\n".join(str(e.value) for e in [*app.text, *app.caption, *app.info, *app.warning, *app.error])


def viewers(app: AppTest) -> list[dict[str, Any]]:
    """What each viewer of the page is given."""
    given = (json.loads(component.proto.json) for component in app.get("bidi_component"))
    return [data for data in given if "panes" in data]
