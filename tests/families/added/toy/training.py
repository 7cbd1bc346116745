"""A run of training, and the release of its checkpoint."""

from pathlib import Path

import torch
from safetensors.torch import save_model
from xray_generator.families.toy.config import ToyConfig
from xray_generator.families.toy.engine import WEIGHTS, load_engine
from xray_generator.families.toy.model import ToyFlow, ToyLoss

from xray_generator.cards import Card, describe_recommendation, describe_training, loading_code
from xray_generator.checkpoints import Manifest, Metrics, code_commit
from xray_generator.config import parse
from xray_generator.data.rows import Dataset
from xray_generator.images import resize_square, to_tensor
from xray_generator.training.loop import train
from xray_generator.training.release import draft_manifest, half_precision, release
from xray_generator.types import Recommendation, RunOptions, Unconditional


class ToyTask:
    """Images of the train split."""

    def __init__(self, flow, rows, size):
        self.module = ToyLoss(flow)
        self.images = [to_tensor(resize_square(row.image(), size)[None])[0] for row in rows]

    def dataset(self):
        return self

    def __len__(self):
        return len(self.images)

    def __getitem__(self, draw):
        return {"images": self.images[draw.index]}

    def preview(self):
        return self.images[0][None]

    def validate(self):
        return {}


def train_run(config: ToyConfig, dataset: Dataset, options: RunOptions) -> Path:
    torch.manual_seed(config.training.seed)
    flow = ToyFlow(config.channels)
    train(ToyTask(flow, dataset.split("train"), config.image_size), config.training, options.run / "flow")
    manifest = draft_manifest(
        config,
        dataset,
        {"flow": config.training.num_steps},
        code_commit(),
        preprocessing={"size": config.image_size, "range": [-1.0, 1.0]},
        recommended=Recommendation("euler", config.num_inference_steps, 1.0),
        sizes=(config.image_size,),
        schedulers=("euler",),
        unconditional=True,
    )

    def save(place: Path) -> None:
        save_model(half_precision(flow), str(place / WEIGHTS))

    release(options.checkpoint, manifest, save, load_engine, lambda _: Metrics(), describe, options.run)
    return options.checkpoint


def describe(manifest: Manifest) -> Card:
    config = parse(ToyConfig, manifest.config)
    return Card(
        tags=("toy",),
        pipeline_tag="unconditional-image-generation",
        notice="Draws noise.",
        introduction=("A rectified flow with one hidden layer.",),
        out_of_scope=(),
        loading=loading_code(manifest.name, Unconditional(), config.image_size),
        recommended=describe_recommendation(manifest),
        procedure=(describe_training(config.training),),
    )
