"""Fuzzed words and values: prompts, reports, requests, operations, arguments of commands, headers of a browser."""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from pages.kit.headers import GuardBrowsers
from pages.kit.person import NameBrowsers, is_unnamed
from postprocess import __main__ as enhance
from postprocess.operations import Clahe, Equalize, Median, Sharpen, Vignette, Window
from postprocess.presets import Preset, apply, get_preset, save_preset
from tests.fuzz_files import REPORT
from tests.fuzz_images import PICTURE, REQUEST
from tests.fuzzing import ODD, WORDS, Parser, mutate_data, mutate_text
from xray_generator import contact_sheet, evaluate, generate, phantom, preprocess, train, train_encoder
from xray_generator.checkpoints import DataFacts, Manifest, check_name, find_checkpoint
from xray_generator.config import dump, parse
from xray_generator.data.amending import amend_prompt
from xray_generator.data.ct_series import SliceChoice, parse_choice
from xray_generator.data.files import is_inside
from xray_generator.data.naming import class_titles, plain
from xray_generator.data.prompts import describe_reading, row_of_prompt
from xray_generator.data.report import clean_text, read_findings
from xray_generator.data.vocabulary import Vocabulary, compose_prompt, unseen_words
from xray_generator.devices import pick_device
from xray_generator.dicom.hounsfield import Window as Units
from xray_generator.dicom.hounsfield import parse_window
from xray_generator.requests import describe_condition, make_request, read_condition, resolve_request
from xray_generator.types import (
    ClassLabel,
    Edit,
    GenerationRequest,
    Morph,
    Recommendation,
    StudioError,
    TextPrompt,
    normalize_text,
)

CLASSES = Manifest(
    "cvae",
    "cells",
    {},
    DataFacts(),
    "",
    "",
    {},
    Recommendation("ddim", 9, 3.0),
    (64, 128),
    labels=("oda", "normal"),
    schedulers=("ddim", "few"),
    few_steps={"few": 8},
)
PROMPTS = replace(CLASSES, family="latent_diffusion", name="chest", labels=(), preprocessing={"reads_facts": True})
VOCABULARY = {
    "num_captions": 9,
    "words": {"chest": 9, "x-ray": 9, "of": 9, "woman": 3, "cardiomegaly": 2},
    "views": ["AP", "PA"],
    "sexes": ["F", "M"],
    "age_groups": ["adult"],
    "min_age": 20,
    "max_age": 80,
    "findings": [{"finding": "cardiomegaly", "phrase": "an enlarged heart", "count": 2}],
    "example_prompts": ["PA chest X-ray of a 58-year-old woman with cardiomegaly"],
}
PROMPT = "PA chest X-ray of a 58-year-old woman with cardiomegaly, no pleural effusion or pneumothorax."
REPORTS = (
    f"{REPORT}\n- Effusion: none\n- Nodule: 5 mm?\n",
    "INDICATION: cough. FINDINGS: Lungs are clear, without edema, mass, or consolidation. IMPRESSION: r/o PNA vs. TB.",
    "no evidence of pneumonia or mass; resolution of the effusion, which has cleared, but opacity persists - no",
)
PIECES = (
    *WORDS,
    *("no ", "not ", ", ", " and ", "effusion", "pneumothorax ", ": none", "?", " - ", "\n\n", " of the ", "XXXX"),
    *("resolved ", "clearing of ", "ly ", "58-year-old", "60F", " man", "supine AP ", "FINDINGS:", "/", "60 ", "is "),
)
OPERATIONS: tuple[type, ...] = (Window, Clahe, Median, Sharpen, Equalize, Vignette)
IMAGE = np.asarray(PICTURE, np.float32) / 255
COMMANDS: Mapping[str, tuple[Callable[[list[str]], object], tuple[str, ...], tuple[str, ...]]] = {
    "train": (
        train.main,
        ("--dataset_path=missing", "--output_dir=out"),
        (*("config", "reports_csv", "projections_csv", "resume_from", "num_threads", "slices", "window"), ""),
    ),
    "train_encoder": (train_encoder.main, ("--dataset_path=missing", "--output_dir=out"), ("window", "slices", "")),
    "generate": (
        generate.main,
        ("--output_dir=out",),
        (
            *("prompt", "label", "num_images", "seed", "size", "steps", "guidance", "scheduler", "preset"),
            *("checkpoint", "device", "num_threads"),
        ),
    ),
    "evaluate": (
        evaluate.main,
        ("--real=missing", "--output_dir=out"),
        ("checkpoint", "split", "suite", "num_images", "size", "seed", "steps", "guidance", "device", "num_threads"),
    ),
    "phantom": (
        lambda words: phantom._check(phantom._parser().parse_args(words)),
        ("--output_dir=out",),
        ("num_images", "size", "seed", "classes"),
    ),
    "contact_sheet": (
        lambda words: contact_sheet._check(contact_sheet._parser().parse_args(words)),
        ("--output=out.png",),
        ("prompt", "label", "guidance", "num_images", "grid", "seed", "steps", "side", "captions", "num_threads"),
    ),
    "preprocess": (preprocess.main, ("--input=missing", "--output_dir=out"), ("size", "input")),
    "postprocess": (
        enhance.main,
        ("x.png", "--output_dir=out"),
        ("preset", "preset_file", "bits", "prompt", "seed", "checkpoint"),
    ),
}
Headers = list[tuple[bytes, bytes]]


def word_parsers(folder: Path) -> dict[str, Parser]:
    """By name; `folder` is for files, and the place where the commands are run."""
    PICTURE.save(folder / "x.png")
    return {
        "report": Parser(_report, _read_report, 12),
        "vocabulary": Parser(
            lambda rng: (mutate_data(rng, VOCABULARY), mutate_text(rng, PROMPT, PIECES)), lambda x: _read_words(*x), 12
        ),
        "names": Parser(lambda rng: mutate_text(rng, "lung,-600.5"), lambda x: _read_name(x, folder), 20),
        "request": Parser(_request, _read_request, 40),
        "request in JSON": Parser(
            lambda rng: mutate_data(rng, dump(REQUEST)), lambda data: parse(GenerationRequest, data), 20
        ),
        "operation": Parser(_operation, _read_operation, 30),
        "command": Parser(_command, _run, 8),
        "headers": Parser(_headers, _answer, 12),
    }


def _report(rng: random.Random) -> str:
    text = mutate_text(rng, rng.choice((*REPORTS, PROMPT)), PIECES)
    if rng.random() < 0.02:  # a long one, as an attacker of the expressions would write it
        text = text[:200] + "".join(rng.choices(PIECES[-24:], k=rng.randint(1, 3))) * 2_000
    return text


def _read_report(text: str) -> None:
    clean_text(text)
    found = read_findings(text)
    assert not set(found.present) & set(found.absent)
    prompt = TextPrompt(text[:2_000]).text
    assert normalize_text(prompt) == prompt
    describe_reading(row_of_prompt(prompt))


def _read_words(data: Any, prompt: str) -> None:
    vocabulary = parse(Vocabulary, data)
    row = row_of_prompt(TextPrompt(prompt).text)
    unseen_words(vocabulary, prompt)
    amend_prompt(prompt, replace(row, findings=("cardiomegaly",), absent=(), view="AP"), vocabulary)
    compose_prompt(row.view, row.age, row.sex, row.findings, vocabulary, row.age_group)


def _read_name(text: str, folder: Path) -> None:
    """Words that name something: each reader of them must know or refuse them."""
    is_inside(text)
    class_titles([text])
    plain(text)
    readers: tuple[Callable[[str], object], ...] = (
        check_name,
        parse_window,
        parse_choice,
        pick_device,
        get_preset,
        lambda name: find_checkpoint(folder, name),
        lambda name: save_preset(Preset(name, (Median(3),)), folder / "saved"),
        lambda name: read_condition(CLASSES, label=name),
        lambda name: resolve_request(make_request(TextPrompt(name), size=64, scheduler=name), PROMPTS, 20),
    )
    for read in readers:
        with suppress(StudioError):
            read(text)


def _request(rng: random.Random) -> tuple[str, dict[str, Any]]:
    """A constructor and arguments of which some are odd."""
    whole: dict[str, dict[str, Any]] = {
        "GenerationRequest": {field.name: getattr(REQUEST, field.name) for field in fields(REQUEST)},
        "Recommendation": {"scheduler": "ddim", "num_inference_steps": 9, "guidance_scale": 3.0},
        "Edit": {"prompt": "A mass", "strength": 0.5, "source_prompt": "Normal"},
        "Morph": {"second": REQUEST, "weight": 0.5},
        "Units": {"level": -600.0, "width": 1500.0},
        "SliceChoice": {"way": "middle", "count": 5},
        "TextPrompt": {"text": "Normal chest X-ray"},
        "ClassLabel": {"label": "oda"},
    }
    name = rng.choice(list(whole))
    values = whole[name]
    for key in rng.sample(list(values), rng.randint(1, min(2, len(values)))):
        if key not in ("condition", "second", "scheduler"):
            values[key] = rng.choice(ODD)
    return name, values


def _read_request(made: tuple[str, dict[str, Any]]) -> None:
    name, values = made
    kinds = {"Units": Units} | {kind.__name__: kind for kind in (GenerationRequest, Recommendation, Edit, Morph)}
    kinds |= {"SliceChoice": SliceChoice, "TextPrompt": TextPrompt, "ClassLabel": ClassLabel}
    found = kinds[name](**values)
    if isinstance(found, GenerationRequest):
        describe_condition(found.condition)
        resolve_request(found, PROMPTS, 500)


def _operation(rng: random.Random) -> tuple[type, dict[str, Any]]:
    kind = rng.choice((*OPERATIONS, Preset))
    names = [field.name for field in fields(kind) if field.name != "kind"]
    values = [*ODD, 3, 5, 0.3, (8, 8), (1, 32), (0, 8), (8, 8, 8), (8.0, 8), (Median(3),), "name"]
    return kind, {name: rng.choice(values) for name in names if rng.random() < 0.7 or kind is Preset}


def _read_operation(made: tuple[type, dict[str, Any]]) -> None:
    kind, values = made
    if kind is Preset:
        values = {"name": "x", "operations": (Median(3),) * 30}  # what JSON gives is typed by pydantic
    found = kind(**values)
    enhanced = apply(found, IMAGE) if isinstance(found, Preset) else found(IMAGE)
    assert np.isfinite(enhanced).all() and 0 <= enhanced.min() <= enhanced.max() <= 1


def _command(rng: random.Random) -> tuple[str, list[str]]:
    name = rng.choice(list(COMMANDS))
    _, fixed, options = COMMANDS[name]
    known = ("-600,1500", "oda", "middle:3", "lung_ct_128", "2,3", "cuda:9", "7", "benign")
    words = [word.replace("\0", "") for word in (*WORDS, *known)]  # no shell passes a NUL on
    given = []
    for option in rng.sample(options, rng.randint(1, min(3, len(options)))):
        word = rng.choice(words)
        given += [f"--{option}={word}" if rng.random() < 0.5 else f"--{option}", word] if option else [f"name={word}"]
    return name, [*fixed, *given]


def _run(made: tuple[str, list[str]]) -> None:
    name, arguments = made
    try:
        assert COMMANDS[name][0](arguments) in (0, 1, None)
    except SystemExit as ended:
        if ended.code != 2:  # the parser's own
            raise AssertionError(f"ended by {ended.code}") from ended


def _headers(rng: random.Random) -> Headers:
    plain = {"accept": "text/html", "host": "localhost:8501", "cookie": "studio_browser=abc; other=1"}
    made = [(key, mutate_text(rng, value)) for key, value in plain.items() if rng.random() < 0.9]
    return [(key.encode(), value.encode("latin-1", "replace")) for key, value in made]


def _answer(headers: Headers) -> None:
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "query_string": b""}
    said: list[Any] = []

    async def page(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        said.append(message)

    asyncio.run(GuardBrowsers(NameBrowsers(page))(scope, None, send))  # type: ignore[arg-type]
    names = [name for name, _ in said[0]["headers"]]
    assert names.count(b"set-cookie") == is_unnamed(scope) and b"content-security-policy" in names
    assert all(b"\n" not in value and b"\r" not in value for _, value in said[0]["headers"])
