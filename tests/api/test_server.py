"""Over real HTTP: a client draws, follows, cancels and downloads; a server that starts again has the jobs of the last.

The commands of the README that ask a server are run against this one.
"""

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.api.conftest import ANNA, BEN, TOKENS
from tests.benchmarks.parts.crowd import draw_at_once, make_tokens
from xray_generator.api.app import create_app
from xray_generator.api.tokens import Tokens, read_tokens
from xray_generator.client import Client
from xray_generator.dicom import is_dicom
from xray_generator.export.recipe import find_recipe, read_recipe
from xray_generator.images import read_image
from xray_generator.jobs import MAX_KEPT, JobQueue, Work
from xray_generator.orders import DrawOrder, OrderStore
from xray_generator.serve import main, make_server
from xray_generator.studio import Studio
from xray_generator.types import OnStep, StudioError, TextPrompt

ROOT = Path(__file__).parents[2]
PROMPT = "Normal chest X-ray, PA view"
IMAGE = np.zeros((16, 16), np.float32)


@contextmanager
def serve(
    studio: Studio,
    tokens: Tokens,
    carry_out: Callable[[DrawOrder], Work] | None = None,
    queue: JobQueue | None = None,
) -> Iterator[str]:
    """The address of a server that ends with the block, and its queue's file with it."""
    store = OrderStore(studio.queue_path)
    app = create_app(studio, queue or JobQueue(carry_out=carry_out or studio.carry_out, store=store), tokens)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = make_server(app)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            store.close()


def test_a_client_draws_and_a_server_that_starts_again_has_its_jobs(studio: Studio, tmp_path: Path) -> None:
    with serve(studio, TOKENS) as url:
        client = Client(url, ANNA)
        assert client.checkpoints()[0].name == "latent_diffusion/tiny" and "Balanced" in client.presets()
        job = client.submit(prompt=PROMPT, num_images=2, steps=2, preset="Balanced")
        told = list(client.stream(job.id, preview=True))
        assert [one.is_over for one in told] == [False] * (len(told) - 1) + [True] and told[-1].state == "done"
        previews = {one.preview for one in told if one.preview is not None}
        assert previews and all(read_image(base64.b64decode(png)).shape == (64, 64) for png in previews)
        done = client.status(job.id)
        assert (done.num_done, done.preset, len(done.images)) == (2, "Balanced", 2)
        assert done.request.scheduler and done.request.seed == job.request.seed
        pngs = [client.image(job.id, index) for index in range(2)]
        assert [read_recipe(png).request.seed for png in pngs] == [done.request.seed, done.request.seed + 1]
        assert len({*pngs}) == 2 and sorted(path.read_bytes() for path in kept(studio, "anna", None)) == sorted(pngs)
        enhanced = client.image(job.id, 0, preset="Balanced")
        assert enhanced == client.enhance(pngs[0]) and read_recipe(enhanced).preset
        dicom = client.image(job.id, 1, format="dicom")
        assert is_dicom(dicom) and find_recipe(dicom) == find_recipe(pngs[1])
        packed = client.archive(job.id)
        files = zipfile.ZipFile(io.BytesIO(packed))
        assert {files.read(name) for name in files.namelist()} >= {*pngs}
        assert len([name for name in files.namelist() if name.endswith(".png")]) == 4
        with pytest.raises(StudioError, match="not finished"):
            client.image(job.id, 2)
        with pytest.raises(StudioError, match="no job"):
            Client(url, BEN).status(job.id)
        with pytest.raises(StudioError, match="token"):
            Client(url).jobs()

        long = client.submit(prompt=PROMPT, num_images=64, steps=1_000)
        following = client.stream(long.id)
        while not next(following).step:
            pass
        client.cancel(long.id)
        *_, last = following
        assert last.state == "canceled" and last.num_done < 64
        waiting = client.submit(prompt=PROMPT, seed=5, num_images=64, steps=1_000)  # the server ends before it
        client.cancel(waiting.id)
    with pytest.raises(StudioError, match="does not answer"):
        client.jobs()

    with serve(Studio(tmp_path / "outputs", "cpu"), TOKENS) as url:
        again = Client(url, ANNA)
        assert [one.id for one in again.jobs()] == [job.id, long.id, waiting.id]
        assert again.status(job.id).request == done.request and again.status(job.id).images == done.images
        assert [again.image(job.id, index) for index in range(2)] == pngs
        assert again.image(job.id, 0, preset="Balanced") == enhanced and again.archive(job.id) == packed
        assert again.status(waiting.id).request.condition == TextPrompt(PROMPT)
        for path in kept(studio, "anna", None):
            path.unlink()
        with pytest.raises(StudioError, match="gone"):
            again.image(job.id, 0)
        for path in (studio.generated_dir / "anna").glob("*.json"):
            path.unlink()
        with pytest.raises(StudioError, match="gone"):
            again.archive(job.id)
        assert again.status(job.id).state == "done"


def kept(studio: Studio, owner: str, preset: str | None) -> list[Path]:
    """The images of a person with that enhancement."""
    paths = (studio.generated_dir / owner).glob("*.png")
    return [path for path in paths if read_recipe(path.read_bytes()).preset == preset]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_commands_of_the_readme_work(studio: Studio, tmp_path: Path) -> None:
    blocks = re.findall(r"```(?:bash|python)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (commands,), (code,) = ([block for block in blocks if word in block] for word in ("curl ", "Client("))
    (tmp_path / "dataset").symlink_to(ROOT / "dataset", target_is_directory=True)
    with serve(studio, Tokens()) as url:
        script = commands.replace("http://127.0.0.1:8000", url).replace("curl ", "curl --fail-with-body ")
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        command = ["bash", "-euo", "pipefail", "-c", script]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=120)
        subprocess.run(
            [sys.executable, "-c", code.replace("http://127.0.0.1:8000", url)],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(ROOT)},
            check=True,
            timeout=120,
        )
        answer = openai(url, {"prompt": PROMPT, "n": 2, "size": "64x64", "response_format": "b64_json"})
    written = [path for path in tmp_path.iterdir() if path.is_file()]
    assert {path.suffix for path in written} == {".png", ".zip"}
    assert all(read_image(path).shape for path in written if path.suffix == ".png")
    seeds = [read_recipe(base64.b64decode(image["b64_json"])).request.seed for image in answer["data"]]
    assert seeds[1] == seeds[0] + 1 and abs(answer["created"] - time.time()) < 3_600


def test_fifty_people_at_once_lose_no_job_and_the_server_answers_all_the_while(studio: Studio) -> None:
    owners, answers = make_tokens(50), []
    tokens = read_tokens(" ".join(f"{owner}:{token}" for owner, token in owners.items()))
    queue = JobQueue(carry_out=studio.carry_out)
    with serve(studio, tokens, queue=queue) as url:

        def watch() -> None:
            answers.append(Client(url).health().status)
            time.sleep(0.02)

        found = draw_at_once(url, [*owners.values()], watch, prompt=PROMPT, steps=2)
        assert {*answers} == {"ok"}
        for (job, png), (owner, token) in zip(found, owners.items(), strict=True):
            assert (job.state, job.num_done, job.error) == ("done", 1, "")
            (path,) = kept(studio, owner, None)
            assert path.read_bytes() == png and read_recipe(png).request.seed == job.request.seed
            assert [one.id for one in Client(url, token).jobs()] == [job.id]
    jobs = [queue.get(job.id) for job, _ in found]
    assert sum(job is not None and job.result is not None for job in jobs) <= MAX_KEPT + 1  # the others: on disk alone


def openai(url: str, body: dict[str, object]) -> dict[str, list[dict[str, str]]]:
    """The answer to a request in the form of the OpenAI API."""
    connection = HTTPConnection(url.removeprefix("http://"))
    connection.request("POST", "/v1/images/generations", json.dumps(body), {"Content-Type": "application/json"})
    answer: dict[str, list[dict[str, str]]] = json.load(connection.getresponse())
    connection.close()
    return answer


def test_a_job_outlives_the_command_that_took_it(studio: Studio) -> None:
    command = [sys.executable, "-m", "xray_generator.serve", "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "OUTPUT_DIR": str(studio.output_dir), "STUDIO_TOKENS": f"anna:{ANNA}"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            job = Client(process.stdout.readline().strip(), ANNA).submit(prompt=PROMPT, steps=2)
        finally:
            process.terminate()
    assert process.returncode == -signal.SIGTERM
    with serve(studio, TOKENS) as url:
        *_, last = Client(url, ANNA).stream(job.id)
        assert (last.state, last.num_done) == ("done", 1) and Client(url, ANNA).image(job.id, 0)


def test_a_job_for_which_nobody_waits_any_more_is_canceled(studio: Studio) -> None:
    def work(on_step: OnStep) -> None:
        while True:
            on_step(1, 2, lambda: IMAGE)
            time.sleep(0.01)

    with serve(studio, Tokens(), lambda _order: work) as url:
        client, connection = Client(url), HTTPConnection(url.removeprefix("http://"))
        kind = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/images/generations", json.dumps({"prompt": PROMPT}), kind)
        while not (jobs := client.jobs()):
            time.sleep(0.01)
        following = client.stream(jobs[0].id)
        assert not next(following).is_over
        connection.close()
        *_, last = following
        assert last.state == "canceled"


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://localhost", "http://", "http://[::1", "http://a:99999"])
def test_a_client_says_how_an_address_looks(url: str) -> None:
    with pytest.raises(StudioError, match="looks like http://127.0.0.1:8000"):
        Client(url)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
def test_a_server_for_other_machines_needs_tokens(
    host: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("STUDIO_TOKENS", raising=False)
    (tmp_path / "tokens.txt").write_text("# none yet\n")
    assert main(["--host", host, "--token_file", str(tmp_path / "tokens.txt")]) == 1
    assert "needs tokens" in capsys.readouterr().err


def test_a_tunnel_needs_tokens_and_pyngrok(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STUDIO_TOKENS", raising=False)
    assert main(["--tunnel", "--port", "0"]) == 1
    assert "Through a tunnel" in capsys.readouterr().err
    if find_spec("pyngrok") is None:
        monkeypatch.setenv("STUDIO_TOKENS", f"anna:{ANNA}")
        assert main(["--tunnel", "--port", "0"]) == 1
        assert "needs the package pyngrok" in capsys.readouterr().err
    assert not (tmp_path / "outputs").exists()


def test_a_tunnel_is_told_with_a_warning(studio: Studio, tmp_path: Path) -> None:
    stand_in = tmp_path / "pyngrok"  # for a service of others on the internet
    stand_in.mkdir()
    (stand_in / "__init__.py").touch()
    (stand_in / "exception.py").write_text("class PyngrokError(Exception): ...")
    (stand_in / "ngrok.py").write_text(
        "from types import SimpleNamespace\n"
        "def connect(addr): return SimpleNamespace(public_url=f'https://tunnel.example/{addr}')"
    )
    command = [sys.executable, "-m", "xray_generator.serve", "--port", "0", "--tunnel", "--device", "cpu"]
    environment = {**os.environ, "OUTPUT_DIR": str(studio.output_dir), "STUDIO_TOKENS": f"anna:{ANNA}"}
    environment["PYTHONPATH"] = os.pathsep.join((str(tmp_path), str(ROOT)))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **pipes) as process:
        assert process.stdout is not None and process.stderr is not None
        own, public = (process.stdout.readline().strip() for _ in range(2))
        process.terminate()
        assert public == f"https://tunnel.example/{own.removeprefix('http://')}"
        assert "who has a token" in process.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "70000"], "0 to 65,535"),
        (["--token_file", "absent.txt"], "No such file"),
        (["--new_token", "anna"], "--token_file"),
        (["--new_token", "../anna", "--token_file", "tokens.txt"], "must be 1 to 64"),
    ],
)
def test_a_wrong_option_is_told_in_a_sentence(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ") and words in told and not (tmp_path / "outputs").exists()


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--port", str(taken.getsockname()[1])]) == 1
    assert "already in use" in capsys.readouterr().err
