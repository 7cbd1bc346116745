"""What every family must do, checked on its smallest run: a new family gets these tests by its name in FAMILIES."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.families.tiny import Run
from tests.training.toy import digest
from xray_generator import abilities, families, registry
from xray_generator.checkpoints import CARD, Manifest, read_manifest, write_manifest
from xray_generator.config import dump, parse
from xray_generator.devices import seeded_generators
from xray_generator.generation import generate, trace
from xray_generator.images import from_tensor, to_tensor
from xray_generator.requests import make_request, read_condition
from xray_generator.training.loop import TrainingStopped
from xray_generator.types import PURPOSE, Canceled, Engine, Image, OnStep, StudioError, TextPrompt, Upscaler

ADDED = Path(__file__).parent / "added"
NAMES = (*registry.FAMILIES, "toy")
MAX_FORCED_LINES = 120  # of a family, beside its model and what its task computes


@pytest.fixture(scope="module", autouse=True)
def toy_family() -> Iterator[None]:
    """Register the added family, as its folder and its name in FAMILIES would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(families, "__path__", [*families.__path__, str(ADDED)])
        patch.setattr(registry, "FAMILIES", NAMES)
        yield


@pytest.fixture(scope="module", params=NAMES)
def run(request: pytest.FixtureRequest, run_of: Callable[[str], Run], toy_family: None) -> Iterator[Run]:
    finished = run_of(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTPUT_DIR", str(finished.output_dir))  # where an adapter's base is found
        yield finished


@pytest.fixture
def trained(run: Run) -> Run:
    """A run of a family that is trained here."""
    if not registry.get_family(run.config.family).train:
        pytest.skip("its models are imported")
    return run


@pytest.fixture(scope="module")
def manifest(run: Run) -> Manifest:
    return read_manifest(run.options.checkpoint)


def load(folder: Path, family: str) -> Any:
    """An engine or an upscaler."""
    return (registry.load_engine if registry.draws(family) else registry.load_upscaler)(family, folder, "cpu")


@pytest.fixture(scope="module")
def model(run: Run) -> Engine | Upscaler:
    return load(run.options.checkpoint, run.config.family)


@pytest.fixture(scope="module")
def lively(run: Run) -> Engine | Upscaler:
    """The same with every weight drawn anew: two steps move those that begin at zero too little to see.

    Grain stays faint: previews do without it.
    """
    model, generator = load(run.options.checkpoint, run.config.family), torch.Generator().manual_seed(0)
    for name, network in model.components().items():
        for value in network.parameters() if name != "grain" else ():
            nn.init.normal_(value, std=0.2, generator=generator)
    return model


def draw(
    model: Any, seed: int = 5, num_images: int = 1, steps: int | None = None, on_step: OnStep | None = None
) -> tuple[Image, ...]:
    """Images of the family's condition, or enlargements of a ramp."""
    manifest = model.manifest
    if registry.draws(manifest.family):
        is_text = registry.get_family(manifest.family).condition is TextPrompt
        label = manifest.labels[0] if manifest.labels else None
        condition = read_condition(manifest, "Normal chest X-ray" if is_text else None, label)
        request = make_request(condition, seed=seed, num_images=num_images, size=manifest.sizes[0], steps=steps)
        return generate(model, request, on_step).images
    ramp = np.linspace(0.2, 0.8, 32 * 32, dtype=np.float32).reshape(1, 32, 32)
    small = to_tensor(np.repeat(ramp, num_images, axis=0))
    return from_tensor(model.upscale(small, 64, steps, seeded_generators(seed, num_images), on_step))


def test_the_checkpoint_says_what_it_is_and_is_read_back(run: Run, model: Any, manifest: Manifest) -> None:
    config = run.config
    assert (manifest.family, manifest.name) == (config.family, config.name)
    assert parse(type(config), json.loads(json.dumps(dump(config)))) == config
    assert model.manifest.ref == manifest.ref
    assert bool(manifest.steps) == bool(registry.get_family(config.family).train)
    assert all(steps == 2 for steps in manifest.steps.values())
    assert manifest.data.num_train == len(run.dataset.split("train"))
    for stage in manifest.steps:
        assert (run.options.checkpoint / "history" / stage / "log.jsonl").is_file()
    networks = model.components().values()
    assert networks and not any(value.requires_grad for network in networks for value in network.parameters())
    assert all(value.dtype == torch.float32 for network in networks for value in network.parameters())


def test_an_image_depends_on_its_own_seed_alone(lively: Any) -> None:
    batch = draw(lively, num_images=3)
    for i, image in enumerate(batch):
        assert np.array_equal(image, draw(lively, seed=5 + i)[0])
    assert not np.array_equal(batch[0], batch[1])


def test_images_are_squares_in_range(model: Any, lively: Any) -> None:
    for image in (*draw(model), *draw(lively)):
        assert image.dtype == np.float32 and image.shape in {(side, side) for side in model.manifest.sizes}
        assert 0 <= image.min() < image.max() <= 1


def test_a_cancel_ends_the_work_within_a_step(model: Any) -> None:
    calls = []

    def cancel(step: int, *_: object) -> None:
        calls.append(step)
        if step == 2:
            raise Canceled

    with pytest.raises(Canceled):
        draw(model, num_images=2, on_step=cancel)
    assert calls == [1, 2]


def test_previews_show_the_estimate_of_the_image(lively: Any) -> None:
    """The estimate at pure noise is the image that a single step gives; the noisy state after that step is not.

    Distances are compared with that of two seeds.
    """

    def watch(seed: int, steps: int) -> tuple[Image, list[Image]]:
        """The image and the preview of every step."""
        previews: dict[tuple[int, int], Image] = {}
        (image,) = draw(lively, seed=seed, steps=steps, on_step=lambda i, n, show: previews.update({(i, n): show()}))
        assert list(previews) == [(step, len(previews)) for step in range(1, len(previews) + 1)]
        return image, list(previews.values())

    (image, four), (single, one), (other, _) = (watch(seed, steps) for seed, steps in ((5, 4), (5, 1), (6, 2)))
    assert len(four) - len(one) == 3  # stages that enlarge have steps of their own
    assert np.abs(four[-1] - image).mean() < 0.03  # the grain of cells is in no preview
    near = 0.12 * np.abs(single - other).mean()
    assert np.abs(four[0] - one[0]).mean() < near
    if isinstance(lively, abilities.Tracing):
        request = lively.resolve(make_request(read_condition(lively.manifest), seed=5, size=len(image), steps=4))
        assert np.abs(trace(lively, request)[1] - single).mean() > near


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit": (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x01"), "SHA-256"),
    "a missing file": (Path.unlink, "is missing"),
    "a file that may hold code": (lambda path: (path.parent / "extra.pt").write_bytes(b""), "may contain code"),
    "a file that is not listed": (lambda path: (path.parent / "extra.json").write_text("{}"), "not in the manifest"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_files_are_refused_in_words(run: Run, tmp_path: Path, fault: str) -> None:
    damage, words = FAULTS[fault]
    folder = shutil.copytree(run.options.checkpoint, tmp_path / "copy")
    damage(next(iter(folder.rglob("*.safetensors"))))
    with pytest.raises(StudioError, match=words):
        load(folder, run.config.family)


def test_weights_that_are_no_numbers_or_of_another_network_are_refused(run: Run, tmp_path: Path) -> None:
    """In every file of weights, with hashes that are right."""
    for path in run.options.checkpoint.rglob("*.safetensors"):
        tensors = load_file(path)
        name = next(name for name, value in tensors.items() if value.is_floating_point() and value.ndim)
        others = {key: value for key, value in tensors.items() if key != name}
        for changed, words in (
            ({name: tensors[name] * float("nan")}, "not numbers"),
            ({name: tensors[name][:-1].clone()}, "cannot be loaded"),
            ({}, "cannot be loaded"),
            ({name: tensors[name], "unknown.weight": torch.zeros(3)}, "cannot be loaded.*unknown.weight"),
            ({name: tensors[name].to(torch.int8)}, "cannot be loaded.*stored as int8"),
        ):
            folder = shutil.copytree(run.options.checkpoint, tmp_path / "copy")
            save_file(others | changed, folder / path.relative_to(run.options.checkpoint), {"format": "pt"})
            write_manifest(folder, read_manifest(folder))
            with pytest.raises(StudioError, match=words):
                load(folder, run.config.family)
            shutil.rmtree(folder)


def test_settings_of_another_architecture_are_refused(run: Run, tmp_path: Path, manifest: Manifest) -> None:
    folder = shutil.copytree(run.options.checkpoint, tmp_path / "copy")
    write_manifest(folder, replace(manifest, config={"family": "another", "name": "small", "depth": 3}))
    with pytest.raises(StudioError, match="The configuration is wrong"):
        load(folder, run.config.family)


@contextmanager
def stops() -> Iterator[None]:
    """Send this process SIGTERM in the first forward pass of every stage of training."""
    seen: set[int] = set()

    def stop(module: nn.Module, _inputs: object, output: object) -> None:
        if module.training and isinstance(output, dict) and "loss" in output and id(module) not in seen:
            seen.add(id(module))
            os.kill(os.getpid(), signal.SIGTERM)

    hook = nn.modules.module.register_module_forward_hook(stop)
    try:
        yield
    finally:
        hook.remove()


def test_a_run_that_is_stopped_and_resumed_ends_as_one_never_stopped(trained: Run, tmp_path: Path) -> None:
    run, resumed, num_stops = trained, replace(trained, output_dir=tmp_path), 0
    with stops():
        while not resumed.options.checkpoint.exists():
            try:
                resumed.train()
            except TrainingStopped:
                num_stops += 1
                assert num_stops < 20
    stages = [path.parent for path in run.options.run.glob("*/states")]
    assert num_stops >= len(stages) > 0
    for stage in stages:
        assert digest(resumed.options.run / stage.name) == digest(stage)
    assert read_manifest(resumed.options.checkpoint).ref == read_manifest(run.options.checkpoint).ref


def test_the_abilities_that_a_family_claims_are_those_of_its_engine(run: Run, model: Any) -> None:
    claimed = registry.get_family(run.config.family).abilities
    assert {name for name, protocol in abilities.PROTOCOLS.items() if isinstance(model, protocol)} == claimed
    for name in abilities.PROTOCOLS:
        assert registry.offers(model.manifest, name) == (name in claimed)


def test_the_card_names_data_licenses_and_limits_and_its_code_runs(
    trained: Run, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained
    card = (run.options.checkpoint / CARD).read_text()
    data = manifest.data
    facts = [f"{data.num_train:,}", *data.sources, *filter(None, data.licenses.values()), manifest.commit]
    for words in (manifest.name, PURPOSE, "Diagnosis, triage", "2 steps of 4", "AdamW", *facts):
        assert words in card
    shutil.copytree(run.output_dir / "checkpoints", tmp_path / "outputs" / "checkpoints")
    monkeypatch.chdir(tmp_path)
    code = card.split("```python\n")[1].split("```")[0].replace("256, 256", "32, 32")
    scope: dict[str, Any] = {}
    exec(code, scope)
    if registry.draws(manifest.family):
        assert list((tmp_path / "outputs" / "generated").rglob("*.png"))
    else:
        assert scope["larger"].shape == (1, 1, 64, 64)


def test_a_new_family_takes_few_lines_beside_its_formulas() -> None:
    lines = [
        line
        for path in (ADDED / "toy").glob("*.py")
        if path.name != "model.py"
        for line in path.read_text().splitlines()
        if line.strip() and not line.startswith(("from ", "import ", '"""'))
    ]
    assert len(lines) <= MAX_FORCED_LINES
