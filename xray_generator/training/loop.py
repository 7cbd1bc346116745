"""The one training loop, on accelerate: CPU, one GPU, or many processes under torchrun or `accelerate launch`.

A run is a pure function of its configuration: the order of the data depends on (seed, epoch), noise on (seed, step,
process), so that a resumed run ends bit-equal to one that was never stopped.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from xray_generator.devices import has_fast_bfloat16, pick_device
from xray_generator.images import encode_png, from_tensor, grid
from xray_generator.training.best import Best
from xray_generator.training.history import LOG, PREVIEWS, cut_log
from xray_generator.training.muon import Muon
from xray_generator.training.muon import parameter_groups as muon_groups
from xray_generator.training.settings import TrainingConfig
from xray_generator.training.state import State, is_of_reader, load_newest_state, locked, save_state, sweep
from xray_generator.training.stop import StopRequest, TrainingStopped, ignore_signals, stop_request
from xray_generator.training.task import Grouped, StepBatches, Task, step_generator
from xray_generator.types import StudioError

T = TypeVar("T")
PREVIEW_COLUMNS = 8
WORKER_TIMEOUT_S = 3_600  # a process that reads data and gives no batch for so long hangs


def train(task: Task, config: TrainingConfig, folder: Path) -> None:
    """Train `task.module` to `config.num_steps`, resuming from `folder` if it holds a state; ends with EMA weights.

    These are the last ones, or by `config.best_by` those of the best validation. Writes folder/states (resumable),
    folder/log.jsonl, folder/tensorboard, folder/previews and folder/best.safetensors.

    Raises:
        StudioError: the loss or a weight is not finite, the folder is in use, a state cannot be saved or read, or the
            data cannot be read any more (the state was saved), or the log cannot be written; or `best_by` is no measure
            of the task.
        TrainingStopped: the process was asked to end; its state was saved.
    """
    with locked(folder), stop_request() as stop:
        _Run(task, config, folder, stop).to_the_end()


class _Run:
    def __init__(self, task: Task, config: TrainingConfig, folder: Path, stop: StopRequest) -> None:
        self.task, self.config, self.folder, self.stop = task, config, folder, stop
        self.best = Best(folder, config)
        device = pick_device()
        # not by Accelerator: it holds one number format a process, and two stages may differ in theirs
        self.bf16 = config.mixed_precision == "bf16" or (config.mixed_precision == "auto" and has_fast_bfloat16(device))
        self.accelerator = Accelerator(
            mixed_precision="no",
            gradient_accumulation_steps=config.gradient_accumulation_steps,
            cpu=device.type == "cpu",
            log_with="tensorboard",
            project_dir=folder / "tensorboard",
        )
        set_seed(config.seed)
        self.step = 0
        module = task.module.to(self.accelerator.device)
        trained = [p for p in module.parameters() if p.requires_grad]
        optimizer = make_optimizer(module, config)
        self.lr_scheduler = make_schedule(optimizer, config)
        self.ema = EMAModel(trained, config.ema_decay, use_ema_warmup=True, power=0.75)
        self.ema.to(self.accelerator.device)
        self.model, self.optimizer = self.accelerator.prepare(module, optimizer)
        if self.accelerator.is_main_process:
            sweep(self.folder / "states")
        self._restore()
        if self.accelerator.is_main_process:
            cut_log(self.folder / LOG, self.step)
        self.saved_step, self.rng = self.step, torch.get_rng_state()  # after the last whole step

    def to_the_end(self) -> None:
        """Run all remaining steps, then leave the EMA weights in the module, or those of the best validation."""
        config, accelerator = self.config, self.accelerator
        accelerator.init_trackers("run")
        dataset = self.task.dataset()
        micro = config.gradient_accumulation_steps
        batches = StepBatches(
            len(dataset),
            config.batch_size,
            config.seed,
            self.step * micro,
            config.num_steps * micro,
            accelerator.process_index,
            accelerator.num_processes,
        )
        can_fork = "fork" in multiprocessing.get_all_start_methods()  # on Windows this process reads the data itself
        num_workers = config.num_workers if can_fork else 0
        loader: DataLoader[Any] = DataLoader(
            cast(Any, dataset),
            batch_sampler=batches,
            num_workers=num_workers,
            timeout=WORKER_TIMEOUT_S if num_workers else 0,
            multiprocessing_context="fork" if num_workers else None,
            worker_init_fn=ignore_signals,
            generator=step_generator(config.seed),  # else it moves the global random state, which dropout resumes from
        )
        if self.step and self._is_report_due() and not self._preview().is_file():
            self._report()  # it was cut short
        if config.best_by and not self.step and accelerator.is_main_process:
            self.best.check(self._use(self.task.validate))  # before hours of training
        try:
            with self.stop.held():  # until a step is whole and saved
                if not self._is_over():
                    self._run(loader)
        except RuntimeError as error:
            if not is_of_reader(error):
                raise
            _end_readers()
            raise StudioError(
                f"Training stopped in step {self.step + 1} because data cannot be read: {error} The saved states are "
                "kept; continue the run."
            ) from error
        self.ema.copy_to(self._trained())
        if config.best_by:
            accelerator.wait_for_everyone()  # the first process writes them
            self.best.load(self._trained())
        for tracker in accelerator.trackers:
            tracker.finish()  # not end_training(): that parts the processes, and another stage may follow

    def _run(self, loader: DataLoader[Any]) -> None:
        config, accelerator, micro = self.config, self.accelerator, self.config.gradient_accumulation_steps
        bar = tqdm(total=config.num_steps, initial=self.step, unit="step", disable=not accelerator.is_main_process)
        started, self.done_before = time.monotonic(), self.step
        self.model.train()
        for position, batch in enumerate(self._read(loader), start=self.step * micro):
            losses = self._update(batch, position)
            if not accelerator.sync_gradients:
                continue
            self.step += 1
            self.rng = torch.get_rng_state()
            bar.update()
            if self.step % config.log_every == 0 or self.step == config.num_steps:
                rate = (self.step - self.done_before) * config.batch_size * micro / (time.monotonic() - started)
                self._log(
                    losses | {"samples_per_second": rate, "learning_rate": float(self.lr_scheduler.get_last_lr()[0])}
                )
                bar.set_postfix(loss=f"{losses['loss']:.4f}", samples_per_s=f"{rate:.1f}")
            if config.max_minutes is not None and time.monotonic() - started > 60 * config.max_minutes:
                self.stop.is_made = True
            if self._is_asked_to_stop():
                self._save()
                raise TrainingStopped
            if self._is_report_due():
                self._save()
                self._report()
                if self._is_over():
                    break
        if self._is_asked_to_stop():  # during the last report
            raise TrainingStopped

    def _read(self, loader: DataLoader[Any]) -> Iterator[Mapping[str, Tensor]]:
        """The batches; where the data cannot be read any more, the state is saved first."""
        try:
            yield from loader
        except (StudioError, OSError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not is_of_reader(error):
                raise
            if self.accelerator.num_processes > 1:  # the others would wait for ever to save with this one
                raise
            self._save()
            _end_readers()
            lines = str(error).strip().splitlines() or [type(error).__name__]  # of a copy, its trace comes first
            reason = lines[-1].removeprefix(f"{StudioError.__module__}.StudioError: ")
            saved = f"at step {self.step}, whose state is saved," if self.step else "before its first step"
            raise StudioError(f"Training stopped {saved} because data cannot be read: {reason}") from error

    def _is_report_due(self) -> bool:
        return self.step % self.config.checkpoint_every == 0 or self.step == self.config.num_steps

    def _update(self, batch: Mapping[str, Tensor], position: int) -> dict[str, float]:
        accelerator = self.accelerator
        generator = step_generator(self.config.seed, position, accelerator.process_index)
        batch = {name: value.to(accelerator.device) for name, value in batch.items()}
        with accelerator.accumulate(self.model):
            with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=self.bf16):
                losses = self.model(batch, generator)
            accelerator.backward(losses["loss"])
            if accelerator.sync_gradients:
                norm = accelerator.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
                values = {name: float(value.detach()) for name, value in losses.items()} | {"grad_norm": float(norm)}
                self._refuse([name for name, value in values.items() if not math.isfinite(value)], self.step + 1)
            self.optimizer.step()
            self.optimizer.zero_grad()
        if not accelerator.sync_gradients:
            return {}
        self.lr_scheduler.step()
        self.ema.step(self._trained())
        return values

    def _refuse(self, faults: Sequence[str], step: int) -> None:
        if faults:
            raise StudioError(
                f"Training stopped at step {step}: {', '.join(faults[:3])} is not finite. The last good state is kept "
                f"in {self.folder.name}/states. Lower the learning rate or check the data."
            )

    def _is_asked_to_stop(self) -> bool:
        return self._is_any(self.stop.is_made)

    def _is_over(self) -> bool:
        """Whether the validations have not become better for long enough, as the first process finds."""
        if self.config.patience is None:
            return False
        return self._is_any(self.accelerator.is_main_process and self.best.is_over())

    def _is_any(self, flag: bool) -> bool:
        """Whether it is so in any process: all must stop at the same step, or they wait for each other for ever."""
        if self.accelerator.num_processes == 1:
            return flag
        flags = torch.tensor(float(flag), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flags, "sum") > 0)

    def _trained(self) -> list[torch.nn.Parameter]:
        return [p for p in self.accelerator.unwrap_model(self.model).parameters() if p.requires_grad]

    def _save(self) -> None:
        self.accelerator.wait_for_everyone()
        if not self.accelerator.is_main_process or self.saved_step == self.step:
            return
        state: State = {
            "step": self.step,
            "module": self.accelerator.unwrap_model(self.model).state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.lr_scheduler.state_dict(),
            "ema": self.ema.state_dict(),
            "rng": self.rng,
        }
        weights = state["module"] | {f"average {i}": value for i, value in enumerate(state["ema"]["shadow_params"])}
        self._refuse([name for name, value in weights.items() if not torch.isfinite(value).all()], self.step)
        save_state(self.folder / "states", self.step, state, self.config.keep_checkpoints)
        self.saved_step = self.step

    def _restore(self) -> None:
        state, skipped = load_newest_state(self.folder / "states")
        for message in skipped:
            self.accelerator.print(message)
        if state is None:
            return
        try:
            self.step = state["step"]
            self.accelerator.unwrap_model(self.model).load_state_dict(state["module"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.lr_scheduler.load_state_dict(state["lr_scheduler"])
            self.ema.load_state_dict(state["ema"])
            self.ema.to(self.accelerator.device)
            torch.set_rng_state(state["rng"])
        except (RuntimeError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise StudioError(f"The state saved in {self.folder} is of another model: {reason}") from error
        except KeyError as error:
            raise StudioError(f"The state saved in {self.folder} is incomplete: it has no {error}.") from error
        self.accelerator.print(f"Resumed from step {self.step}.")

    def _preview(self) -> Path:
        return self.folder / PREVIEWS / f"step-{self.step:08d}.png"

    def _report(self) -> None:
        """Validate and draw a preview with the EMA weights; the state is saved, so that a stop need not wait."""
        if not self.accelerator.is_main_process:
            return
        is_held = self.accelerator.num_processes > 1  # the others would go on and wait for ever
        self.ema.store(self._trained())
        self.ema.copy_to(self._trained())
        with self.stop.held(is_held):
            measured, preview = self._use(lambda: (dict(self.task.validate()), self.task.preview()))
            if self.config.best_by:
                self.best.note(self.step, measured, self._trained())
        self._log(measured)
        path = self._preview()
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".tmp").write_bytes(encode_png(grid(from_tensor(preview), PREVIEW_COLUMNS)))
        path.with_suffix(".tmp").replace(path)
        self.ema.restore(self._trained())

    def _use(self, work: Callable[[], T]) -> T:
        """What some work gives while the network is in use and not in training; no random state moves."""
        self.model.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            found = work()
        self.model.train()
        return found

    def _log(self, values: Mapping[str, float]) -> None:
        if not self.accelerator.is_main_process or not values:
            return
        line = json.dumps({"step": self.step, "time": round(time.time(), 1)} | dict(values)) + "\n"
        try:
            self.accelerator.log(dict(values), step=self.step)
            with (self.folder / LOG).open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise StudioError(
                f"Cannot write the log of {self.folder.name} at step {self.step}: {error.strerror}. The saved states "
                "are kept; make room and continue the run."
            ) from error


def _end_readers() -> None:
    """End the processes that read data: one that hangs hears no request, and Python would wait for it at its end."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's own would tell of them once more
    for reader in multiprocessing.active_children():
        reader.kill()
        reader.join()
    signal.signal(signal.SIGCHLD, before)


def make_optimizer(module: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW, or `Muon`; a module that groups its parameters by rate (`Grouped`) is trained by AdamW.

    Raises:
        StudioError: such a module with another optimizer.
    """
    settings: dict[str, Any] = {
        "lr": config.learning_rate,
        "betas": (config.adam_beta1, config.adam_beta2),
        "weight_decay": config.weight_decay,
        "fused": True,
    }
    if config.optimizer == "muon":
        if isinstance(module, Grouped):
            raise StudioError("This stage is trained by adamw only: its parts learn at rates of their own.")
        return Muon(muon_groups(module, config.muon_rate), **settings)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = module.parameter_groups(config.learning_rate) if isinstance(module, Grouped) else trained
    return torch.optim.AdamW(groups, **settings)


def make_schedule(optimizer: torch.optim.Optimizer, config: TrainingConfig) -> torch.optim.lr_scheduler.LambdaLR:
    """The learning rate over the steps: diffusers' schedules, and the plateau."""
    if config.lr_schedule != "plateau":
        return get_scheduler(  # type: ignore[no-any-return]
            config.lr_schedule, optimizer, num_warmup_steps=config.warmup_steps, num_training_steps=config.num_steps
        )
    start, end = config.decay_start, config.num_steps

    def factor(step: int) -> float:
        rise = min(1.0, step / max(1, config.warmup_steps))
        return rise * min(1.0, max(0, end - step) / max(1, end - start))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
