"""InkTrace: which strokes is a picture of hand-drawn ink made of?

Data: drawings of Bezier strokes, generated while they are needed and growing harder with the epochs, or a folder of
pictures with their fields; some are held out. Model: convolutions, a transformer on an eighth of the resolution, and
a decoder that says for every pixel whether it is skeleton or key point, and the direction, the width and the exact
place of the stroke there. Stages: `structural` learns skeleton and direction of half-hidden pictures through the
bottleneck alone; `dense` begins with its weights and learns all five fields, looking back past the bottleneck.
Training: AdamW with one cycle of the rate. Evaluation: F1 of the skeleton, matched one to one within a pixel, recall
of the key points within two, and the errors of what is said about the strokes.
"""

from __future__ import annotations

from pathlib import Path

from holdfast.engine.system import System
from holdfast.systems.inktrace.config import InkTraceConfig
from holdfast.systems.inktrace.data import build_data
from holdfast.systems.inktrace.loss import build_loss
from holdfast.systems.inktrace.metrics import build_metrics
from holdfast.systems.inktrace.model import build_model
from holdfast.systems.inktrace.pictures import build_pictures
from holdfast.systems.inktrace.predict import predict
from holdfast.systems.inktrace.samples import make_data

system = System(
    name="inktrace",
    config=InkTraceConfig,
    data=build_data,
    model=build_model,
    loss=build_loss,
    metrics=build_metrics,
    pictures=build_pictures,
    predict=predict,
    make_data=make_data,
    named_by=("model.embed_dim", "training.lr"),
    output_dir_is_run=True,
    presets=Path(__file__).parents[2] / "configs" / "inktrace",
)
