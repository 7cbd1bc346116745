"""A small client of the HTTP API, of `xray-studio serve`.

    client = Client("http://127.0.0.1:8000")
    (png,) = client.generate("Normal chest X-ray, PA view", seed=1)

It needs nothing but this package: no web framework and no torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from xray_generator.api.messages import CheckpointFacts, Evaluation, EvaluationStatus, Health, JobStatus
from xray_generator.config import parse
from xray_generator.types import StudioError

JSON, BAD, BUSY = "application/json", 400, 429
TIMEOUT_S = 60.0  # without a word from the server, which says something every 15 seconds


class BusyError(StudioError):
    """The server has enough to do now: ask again after so many seconds."""

    def __init__(self, sentence: str, retry_after_s: float) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class Client:
    """Asks a server for images.

    Every method raises StudioError: there is no such server, or it refuses; the text is the server's sentence. It is a
    BusyError where asking again later may help.
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", token: str = "") -> None:
        try:
            address = urlsplit(url)
            self._host, self._port = address.hostname or "", address.port
        except ValueError:  # a part of it is no host or no port
            address = urlsplit("")
        if address.scheme not in ("http", "https") or not self._host:
            raise StudioError(f"The address of a server looks like http://127.0.0.1:8000, not {url!r}.")
        self._connect = HTTPSConnection if address.scheme == "https" else HTTPConnection
        self._url, self._path, self._token = url, address.path.rstrip("/"), token

    def health(self) -> Health:
        """That the server answers; it asks for no token."""
        return parse(Health, self._read_json("GET", "/health"))

    def checkpoints(self) -> tuple[CheckpointFacts, ...]:
        """What can be drawn."""
        return parse(tuple[CheckpointFacts, ...], self._read_json("GET", "/checkpoints"))

    def presets(self) -> tuple[str, ...]:
        """The names of the enhancements."""
        return tuple(preset["name"] for preset in self._read_json("GET", "/presets"))

    def generate(self, prompt: str | None = None, **asked: Any) -> list[bytes]:  # noqa: ANN401 - as for `submit`
        """Images as PNG files, when all are drawn; arguments as for `submit`."""
        *_, last = self.stream(self.submit(prompt=prompt, **asked).id)
        if last.state != "done":
            raise StudioError(last.error or "The job was canceled.")
        return [self.image(last.id, index) for index in range(last.num_done)]

    def submit(self, **asked: Any) -> JobStatus:  # noqa: ANN401 - the fields of `messages.Drawing`
        """Ask for images: `prompt` or `label`, `checkpoint`, `num_images`, `seed` and others of `messages.Drawing`."""
        return parse(JobStatus, self._read_json("POST", "/jobs", json.dumps(asked).encode()))

    def jobs(self) -> tuple[JobStatus, ...]:
        """Your last jobs, in the order of asking."""
        return parse(tuple[JobStatus, ...], self._read_json("GET", "/jobs"))

    def status(self, job_id: str) -> JobStatus:
        """How a job stands."""
        return parse(JobStatus, self._read_json("GET", _path(job_id)))

    def stream(self, job_id: str, *, preview: bool = False) -> Iterator[JobStatus]:
        """How a job stands, whenever that changes, until it is over."""
        with self._ask("GET", _path(job_id, "events", preview=preview)) as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    status = parse(JobStatus, json.loads(line.removeprefix(b"data: ")))
                    yield status
                    if status.is_over:
                        return
        raise StudioError(f"The studio at {self._url} ended before the job. It goes on when the studio is there again.")

    def image(self, job_id: str, index: int, **choice: str) -> bytes:
        """An image of a job, counted from 0: a PNG, after `preset="Balanced"`, or with `format="dicom"` DICOM."""
        return self._read("GET", _path(job_id, f"images/{index}", **choice))

    def archive(self, job_id: str) -> bytes:
        """The images of a job as a ZIP."""
        return self._read("GET", _path(job_id, "archive"))

    def cancel(self, job_id: str) -> JobStatus:
        """End a job; images that are finished stay."""
        return parse(JobStatus, self._read_json("DELETE", _path(job_id)))

    def enhance(self, image: bytes, preset: str = "Balanced") -> bytes:
        """An image file (PNG, JPEG, TIFF or DICOM) after a preset, as a PNG."""
        return self._read("POST", f"/enhance?{urlencode({'preset': preset})}", image, "application/octet-stream")

    def evaluations(self, checkpoint: str | None = None) -> tuple[Evaluation, ...]:
        """What was measured of the checkpoints before, or of one."""
        query = "" if checkpoint is None else f"?{urlencode({'checkpoint': checkpoint})}"
        return parse(tuple[Evaluation, ...], self._read_json("GET", f"/evaluations{query}"))

    def measure(self, checkpoint: str | None = None, num_images: int = 20) -> EvaluationStatus:
        """Ask that a checkpoint be measured, which takes minutes; see `evaluation`."""
        asked = json.dumps({"checkpoint": checkpoint, "num_images": num_images}).encode()
        return parse(EvaluationStatus, self._read_json("POST", "/evaluations", asked))

    def evaluation(self, job_id: str) -> EvaluationStatus:
        """How an evaluation that you asked for stands, and what it found."""
        return parse(EvaluationStatus, self._read_json("GET", f"/evaluations/{quote(job_id, safe='')}"))

    def cancel_evaluation(self, job_id: str) -> EvaluationStatus:
        """End an evaluation."""
        return parse(EvaluationStatus, self._read_json("DELETE", f"/evaluations/{quote(job_id, safe='')}"))

    def _read_json(self, method: str, path: str, body: bytes | None = None) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self._read(method, path, body))

    def _read(self, method: str, path: str, body: bytes | None = None, kind: str = JSON) -> bytes:
        with self._ask(method, path, body, kind) as answer:
            return answer.read()

    @contextmanager
    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str = JSON) -> Iterator[HTTPResponse]:
        headers = {"Content-Type": kind, "Connection": "close"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        connection = self._connect(self._host, self._port, timeout=TIMEOUT_S)
        try:
            connection.request(method, self._path + path, body, headers)
            with connection.getresponse() as answer:
                if answer.status == BUSY:
                    wait = answer.headers.get("Retry-After", "")
                    raise BusyError(_sentence(answer), float(wait) if wait.isdigit() else 1.0)
                if answer.status >= BAD:
                    raise StudioError(_sentence(answer))
                yield answer
        except (OSError, HTTPException) as error:
            raise StudioError(f"The studio at {self._url} does not answer: {error}.") from error
        finally:
            connection.close()


def _path(job_id: str, part: str = "", **query: object) -> str:
    path = f"/jobs/{quote(job_id, safe='')}{part and f'/{part}'}"
    return f"{path}?{urlencode(query)}" if query else path


def _sentence(answer: HTTPResponse) -> str:
    try:
        return str(json.loads(answer.read())["error"])
    except (ValueError, TypeError, KeyError):  # not of the API: of something that stands before it
        return f"The server answers with status {answer.status}."
