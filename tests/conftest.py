"""The sample that ships, and a tiny real checkpoint made by the product's own code."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported: no test uses a network
os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is: tiny networks gain nothing, and workers share the cores

import pytest
import torch
from torch import nn

from tests.manifests import edit_manifest
from xray_generator.abilities import UNET
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Dataset, Row
from xray_generator.evaluation.features import Radiomics, Remembering
from xray_generator.evaluation.image_sets import ImageSet, from_rows
from xray_generator.families.flow_matching.config import FlowMatchingConfig
from xray_generator.families.flow_matching.model import FlowMatching
from xray_generator.families.flow_matching.training import export as export_flow
from xray_generator.families.latent_diffusion.autoencoder_task import load_images
from xray_generator.families.latent_diffusion.config import (
    AutoencoderConfig,
    LatentDiffusionConfig,
    ScheduleConfig,
    TextEncoderConfig,
    UNetConfig,
)
from xray_generator.families.latent_diffusion.denoiser_task import measure_statistics
from xray_generator.families.latent_diffusion.model import LatentDiffusion, LatentStatistics, build_unet
from xray_generator.families.latent_diffusion.text import build_text_encoder
from xray_generator.families.latent_diffusion.training import export
from xray_generator.families.lora.config import LoraConfig
from xray_generator.families.lora.engine import adapted_layers, load_base
from xray_generator.families.lora.training import export as export_adapter
from xray_generator.nn.adapter import add_adapter
from xray_generator.nn.compact_autoencoder import CompactAutoencoder
from xray_generator.nn.network_configs import ClassUNetConfig
from xray_generator.training.settings import TrainingConfig

MakeModel = Callable[[LatentDiffusionConfig], LatentDiffusion]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests without a browser come first: they are quicker, and say more precisely what is wrong."""
    items.sort(key=lambda item: item.path.is_relative_to(Path(__file__).parent / "browser"))


def _training(batch_size: int) -> TrainingConfig:
    return TrainingConfig(
        num_steps=2, batch_size=batch_size, learning_rate=1e-3, warmup_steps=1, checkpoint_every=2, log_every=1
    )


@pytest.fixture(scope="session")
def dataset_folder() -> Path:
    """The dataset/ folder of the repository."""
    return Path(__file__).parents[1] / "dataset"


@pytest.fixture(scope="session")
def tiny_dataset(dataset_folder: Path) -> Dataset:
    """12 training and 4 validation rows of the sample."""
    dataset = read_dataset(dataset_folder)
    return Dataset(dataset.split("train")[:12] + dataset.split("val")[:4])


@pytest.fixture(scope="session")
def tiny_rows(tiny_dataset: Dataset) -> tuple[Row, ...]:
    """12 training rows of the sample."""
    return tiny_dataset.split("train")


@pytest.fixture(scope="session")
def tiny_config() -> LatentDiffusionConfig:
    """The real architecture, as small as it goes: 64 pixels, 4x4 positions in the denoiser."""
    return LatentDiffusionConfig(
        name="tiny",
        autoencoder_training=_training(4),
        denoiser_training=_training(4),
        image_size=64,
        native_repeats=1,
        autoencoder=AutoencoderConfig((8, 16), (1, 1), (1, 1), latent_channels=4, crop_size=32),
        text_encoder=TextEncoderConfig(
            embedding_size=32, num_layers=1, num_heads=2, vocabulary_size=500, max_length=32
        ),
        unet=UNetConfig(channels=(32, 64), num_heads=2),
        schedule=ScheduleConfig(num_inference_steps=4),
    )


@pytest.fixture(scope="session")
def make_model(dataset_folder: Path) -> MakeModel:
    """Build an untrained model of a configuration, with the vocabulary and the latent statistics of the sample."""
    rows = read_dataset(dataset_folder).split("train")

    def make(config: LatentDiffusionConfig) -> LatentDiffusion:
        torch.manual_seed(0)
        shape = config.autoencoder
        autoencoder = CompactAutoencoder(
            shape.channels, shape.encoder_blocks, shape.decoder_blocks, shape.latent_channels
        ).eval()
        text_encoder = build_text_encoder(config.text_encoder, [row.prompt for row in rows]).eval()
        side = config.image_size // (8 * config.unet.fold)
        unet = build_unet(config.unet, shape.latent_channels, side, config.text_encoder.embedding_size).eval()
        return LatentDiffusion(
            autoencoder,
            unet,
            text_encoder,
            _statistics(autoencoder, rows[:8], config),
            config.schedule,
            config.image_size,
        )

    return make


@torch.no_grad()
def _statistics(
    autoencoder: CompactAutoencoder, rows: tuple[Row, ...], config: LatentDiffusionConfig
) -> LatentStatistics:
    latents = autoencoder.encode(load_images(rows, config.image_size)).mean.half().numpy()
    return measure_statistics(latents, config.unet.fold)


@pytest.fixture(scope="session")
def tiny_checkpoint(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_config: LatentDiffusionConfig,
    make_model: MakeModel,
    dataset_folder: Path,
) -> Path:
    """An OUTPUT_DIR that holds the untrained checkpoints/latent_diffusion/tiny/; not to be written into."""
    output_dir = tmp_path_factory.mktemp("outputs")
    folder = output_dir / "checkpoints" / tiny_config.family / tiny_config.name
    export(tiny_config, make_model(tiny_config), read_dataset(dataset_folder), folder)
    return output_dir


@pytest.fixture(scope="session")
def adapter_checkpoints(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, tiny_dataset: Dataset) -> Path:
    """An OUTPUT_DIR with tiny and two adapters of it, lora/first and lora/second, of random factors.

    Not to be written into.
    """
    output_dir = tmp_path_factory.mktemp("adapters")
    shutil.copytree(tiny_checkpoint / "checkpoints", output_dir / "checkpoints")
    generator = torch.Generator().manual_seed(0)
    for name in ("first", "second"):
        config, folder = LoraConfig(name, _training(4), base="tiny", rank=2), output_dir / "checkpoints" / "lora" / name
        base = load_base(config.base, folder, "cpu")
        networks = {UNET: base.components()[UNET]}
        add_adapter(networks[UNET], adapted_layers(config, networks)[UNET], config.rank, config.alpha, config.dropout)
        for value in networks[UNET].parameters():
            if value.requires_grad:
                nn.init.normal_(value, std=0.2, generator=generator)
        export_adapter(config, base, networks, tiny_dataset, folder)
    return output_dir


@pytest.fixture(scope="session")
def tiny_ct_checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_rows: tuple[Row, ...]) -> Path:
    """An OUTPUT_DIR that holds the untrained checkpoints/flow_matching/tiny_ct/: 32 pixels, two classes, lung window.

    Its manifest states made-up likelihoods, one of a training image: measuring them takes longer than most tests.
    Not to be written into.
    """
    output_dir = tmp_path_factory.mktemp("ct_outputs")
    config = FlowMatchingConfig(
        "tiny_ct",
        _training(4),
        image_size=32,
        labels=("benign", "normal"),
        num_inference_steps=4,
        num_likelihoods=0,
        network=ClassUNetConfig(8, (16, 16), 1, (1,), 0.0),
    )
    torch.manual_seed(0)
    folder = output_dir / "checkpoints" / config.family / config.name
    model = FlowMatching.build(config)
    with torch.no_grad():
        model.network.conv_out.weight *= 0.1  # a smooth flow: the adaptive solver needs a fifth of the evaluations
    export_flow(config, model, Dataset(tiny_rows), folder)
    train = {
        "bits_per_dimension": 9.0,
        "standard_error": None,
        "inversion_rmse": 0.01,
        "num_images": 1,
        "values": [9.0],
    }
    references = {"blank, middle gray": 7.0, "uniform noise": 12.0}
    likelihoods = {"likelihood": {"train": train, "test": {}}, "likelihood_references": references}
    edit_manifest(folder, lambda data: data["metrics"].update(likelihoods))
    return output_dir


@pytest.fixture(scope="session")
def real(dataset_folder: Path) -> ImageSet:
    """All 200 films at 64 pixels."""
    return from_rows(read_dataset(dataset_folder).rows, 64, "real")


@pytest.fixture(scope="session")
def radiomics_space(real: ImageSet) -> Remembering:
    """Radiomics in units of these films."""
    return Remembering(Radiomics.of(real.images))
