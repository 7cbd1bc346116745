"""A loaded checkpoint of this family."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_model
from torch import Tensor
from xray_generator.families.toy.config import ToyConfig
from xray_generator.families.toy.model import ToyFlow

from xray_generator.checkpoints import Manifest, Stored, freeze, open_checkpoint
from xray_generator.devices import initial_noise, pick_device
from xray_generator.images import from_tensor
from xray_generator.nn.rectified_flow import euler, time_grid
from xray_generator.requests import MAX_FLOW_STEPS, resolve_request

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class ToyEngine:
    flow: ToyFlow
    manifest: Manifest
    device: torch.device

    def components(self):
        return {"flow": self.flow}

    def resolve(self, request):
        return resolve_request(request, self.manifest, MAX_FLOW_STEPS)

    def notes(self, _request):
        return ()

    @torch.inference_mode()
    def sample(self, request, generators, on_step) -> Tensor:
        def report(step, total, _x, x_0):
            on_step(step, total, lambda: from_tensor(x_0())[0])

        noises = [initial_noise((1, request.height, request.width), [one], self.device) for one in generators]
        grid = time_grid(request.num_inference_steps)
        return torch.cat([euler(self.flow.field, noise, grid, report) for noise in noises]).clamp(-1, 1)


def load_engine(folder: Path, device: str | None = None) -> ToyEngine:
    target = pick_device(device)

    def build(_manifest: Manifest, config: ToyConfig) -> tuple[ToyFlow, Stored]:
        flow = ToyFlow(config.channels)
        load_model(flow, folder / WEIGHTS)
        return freeze(flow, target), {".": flow.state_dict()}

    manifest, _config, flow = open_checkpoint(folder, ToyConfig, build)
    return ToyEngine(flow, manifest, target)
