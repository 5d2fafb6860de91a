"""The typed configuration that every system shares; a system subclasses it with sections of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from holdfast.clock import parse_every
from holdfast.config.layers import load_layer
from holdfast.config.resolve import resolve
from holdfast.config.section import Section

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class DataSection(Section):
    """Where the data is and how it is read; systems add their own keys."""

    path: str | None = None
    """The data set; none where data is generated."""
    epoch_length: Positive | None = None
    """Samples per epoch where the data is a stream or generated; by default the length of the data."""
    num_workers: Annotated[int, Field(ge=0)] = 0
    """Processes that prepare samples; their number never changes what is trained."""


class Adam(Section):
    """Adam."""

    name: Literal["adam"] = "adam"
    betas: tuple[Rate, Rate] = (0.9, 0.999)
    """Decay of the averages of the gradient and of its square."""
    eps: Finite = 1e-8
    """Added to the denominator."""


class AdamW(Section):
    """Adam with decoupled weight decay."""

    name: Literal["adamw"] = "adamw"
    betas: tuple[Rate, Rate] = (0.9, 0.999)
    """Decay of the averages of the gradient and of its square."""
    eps: Finite = 1e-8
    """Added to the denominator."""


class Sgd(Section):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = "sgd"
    momentum: Finite = 0.0
    """How much of the last step goes into the next."""
    nesterov: bool = False
    """Whether the gradient is taken as seen from ahead."""

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError(
                "`nesterov: true` must have a momentum above 0, but got 0; set `momentum`, for example 0.9"
            )
        return self


class Constant(Section):
    """The rate never changes."""

    name: Literal["constant"] = "constant"


class Cosine(Section):
    """Half a cosine from the rate down to a fraction of it."""

    name: Literal["cosine"] = "cosine"
    final: Finite = 0.0
    """The last rate, as a fraction of the first."""
    each: Literal["step", "epoch"] = "step"
    """When the rate changes."""


class Linear(Section):
    """A straight line from the rate to a fraction of it."""

    name: Literal["linear"] = "linear"
    final: Finite = 0.0
    """The last rate, as a fraction of the first."""
    each: Literal["step", "epoch"] = "step"
    """When the rate changes."""


class Step(Section):
    """A staircase."""

    name: Literal["step"] = "step"
    at: tuple[Positive, ...] = ()
    """When the rate is multiplied by gamma, in epochs, or in steps where `training.steps` is set."""
    gamma: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    """What the rate is multiplied by."""


class OneCycle(Section):
    """Half a cosine up to the rate, and half a cosine down."""

    name: Literal["one_cycle"] = "one_cycle"
    peak_at: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """The share of the run after which the rate is reached."""
    start: Finite = 0.04
    """The first rate, as a fraction of the rate."""
    final: Finite = 1e-4
    """The last rate, as a fraction of the rate."""


class Training(Section):
    """How it is trained, and what is kept. "The run's unit" is epochs, or steps where `steps` is set."""

    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    """The learning rate."""
    batch_size: Positive = 32
    """Samples of one step, over all processes, accumulation included."""
    epochs: Positive = 50
    """The length of the run, where `steps` is not set."""
    steps: Positive | None = None
    """The length of a run that is counted in steps."""
    weight_decay: Finite = 0.0
    """How strongly weights are drawn to zero."""
    optimizer: Adam | AdamW | Sgd = Adam()
    """adam, adamw or sgd."""
    schedule: Constant | Cosine | Linear | Step | OneCycle = Constant()
    """constant, cosine, linear, step or one_cycle."""
    schedule_length: Positive | None = None
    """What the schedule takes for the length of the run, in the run's unit; by default the run's own length."""
    warmup: Annotated[int, Field(ge=0)] = 0
    """Over how much the rate rises from zero, in the run's unit."""
    clip: Annotated[float, Field(gt=0)] | None = None
    """The largest norm that the gradient may have."""
    amp: bool | Literal["bf16", "fp16"] = False
    """Mixed precision: false, bf16, fp16, or true for the best that the device supports (off on the CPU)."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of the average of the weights that is evaluated and kept as the best; none without a value."""
    early_stop: Positive | None = None
    """Ends the run after so many evaluations without a new best."""
    subset_size: Positive | None = None
    """Trains on so many samples, drawn by `subset_seed`; the held-out data stays whole."""
    subset_seed: Annotated[int, Field(ge=0)] = 42
    """Which samples a subset has."""
    overfit: bool = False
    """Trains on the first `subset_size` samples, unshuffled and always the same, and evaluates on them: a test."""
    accumulation: Positive = 1
    """Microbatches that one step is made of."""
    save_interval: int | str | tuple[int | str, ...] = "1 epoch"
    """How often a numbered checkpoint is saved: a number in the run's unit, "100 steps", "10 minutes", or several."""
    keep_last_n: Positive = 3
    """How many of the newest numbered checkpoints are kept, beside the best, the latest and milestones; at least 2."""
    keep_best_k: Annotated[int, Field(ge=0)] = 0
    """How many numbered checkpoints are kept because they are the best by the monitored metric."""
    keep_every: Positive | None = None
    """Keeps every numbered checkpoint whose count is a multiple of this, in the run's unit."""
    milestones: tuple[Positive, ...] = ()
    """When a checkpoint is saved that is always kept, in the run's unit."""
    save_optimizer: bool = True
    """Whether checkpoints hold the optimizer; without it they are smaller and a resumed run is not exact."""
    eval_interval: Positive = 1
    """Epochs from one evaluation to the next; the last state is always evaluated."""
    monitor: str = "val/loss"
    """The metric that says which state is the best."""
    mode: Literal["min", "max"] = "min"
    """Whether the best is the smallest or the largest."""
    resume: str | None = None
    """A run or checkpoint to go on from, as `--resume`."""

    @field_validator("save_interval")
    @classmethod
    def _is_an_interval(cls, value: int | str | tuple[int | str, ...]) -> int | str | tuple[int | str, ...]:
        parse_every(value, "epochs")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.overfit and self.subset_size is None:
            raise ValueError(
                "`overfit` must know how many samples, but `subset_size` is not set; set it, for example to 10"
            )
        if self.batch_size % self.accumulation:
            raise ValueError(
                "`batch_size` must be a multiple of `accumulation`, "
                f"but got {self.batch_size} and {self.accumulation}; change one of them"
            )
        return self


class RunSection(Section):
    """Where the run goes."""

    root: str = "runs"
    """The folder of runs."""
    name: str | None = None
    """The run's folder in it; by default made from the model, a few values and the time."""
    stages: tuple[str, ...] | None = None
    """The stages that this run trains, as `--stage` chooses; by default all."""


class Logging(Section):
    """What is written down while it trains."""

    tensorboard: bool = True
    """Whether curves are written for TensorBoard; metrics.jsonl is always written."""
    log_interval: Positive = 10
    """Steps from one row of metrics to the next."""


class Stage(Section):
    """A named part of a run; every other key lies over the configuration while the stage is trained."""

    # Whatever a stage overrides is checked as part of the whole configuration.
    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    """The stage's name, also that of its folders."""
    init_from: str | None = None
    """A checkpoint whose weights the stage starts with; best_NAME.pth is the best of the stage NAME of this run."""
    leave: tuple[str, ...] = ()
    """With `init_from`: patterns of weights that stay in the file (head.*)."""
    least_matched: Annotated[float, Field(ge=0, le=1)] = 0.0
    """With `init_from`: the least share of the model's values that must be taken."""


class Config(Section):
    """A whole configuration; `Config()` gives the defaults, and so does every subclass."""

    system: str | None = None
    """A built-in system, or your own as package.module:name."""
    seed: Annotated[int, Field(ge=0)] = 1000
    """What all randomness is drawn from."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    model: Section = Section()
    """The network."""
    data: DataSection = DataSection()
    """Where the data is and how it is read."""
    loss: Section = Section()
    """What is minimised."""
    training: Training = Training()
    """How it is trained, and what is kept."""
    run: RunSection = RunSection()
    """Where the run goes."""
    logging: Logging = Logging()
    """What is written down while it trains."""
    stages: tuple[Stage, ...] = ()
    """Named parts of the run, each with keys of its own."""

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Gives the configuration of a YAML file, over the defaults of this class.

        Raises:
            ConfigError: All mistakes at once.
        """
        return resolve(cls, [load_layer(Path(path))]).config
