"""Glint: where are the corneal reflections of up to eight lamps in a grey image of an eye?

Data: an HDF5 file of images and, for each lamp, a heat map with a Gaussian at its reflection; a fixed share is held
out. Model: a U-Net that stops at the maps' resolution, one output for each lamp. Loss: focal, binary cross-entropy,
dice or a weighted sum of these and more, on the soft maps. Training: Adam at a constant rate. Evaluation: the highest
peak of each map, to a fraction of a pixel, is right within some pixels of the true one; precision, recall, F1 and the
mean error of what is right, for each lamp and over all.
"""

from __future__ import annotations

from pathlib import Path

from holdfast.engine.system import System
from holdfast.systems.glint.config import ConvertOptions, GlintConfig
from holdfast.systems.glint.convert import convert
from holdfast.systems.glint.data import build_data
from holdfast.systems.glint.legacy import LAYOUTS
from holdfast.systems.glint.loss import build_loss
from holdfast.systems.glint.metrics import build_metrics
from holdfast.systems.glint.model import build_model
from holdfast.systems.glint.pictures import build_pictures
from holdfast.systems.glint.predict import predict
from holdfast.systems.glint.samples import make_data, make_raw

system = System(
    name="glint",
    config=GlintConfig,
    data=build_data,
    model=build_model,
    loss=build_loss,
    metrics=build_metrics,
    pictures=build_pictures,
    predict=predict,
    make_data=make_data,
    make_raw=make_raw,
    convert=convert,
    convert_options=ConvertOptions,
    layouts=LAYOUTS,
    options={
        "h5": "data.path",
        "batch": "training.batch_size",
        "val_split": "data.val_split",
        "loss": "loss.name",
        "alpha": "loss.alpha",
        "gamma": "loss.gamma",
        "agg_wF": "loss.agg_focal",
        "agg_wB": "loss.agg_bce",
        "agg_wD": "loss.agg_dice",
        "cleanup_shm": "data.shared_memory",
    },
    named_by=("loss.name", "training.lr"),
    output_dir_is_run=True,
    presets=Path(__file__).parents[2] / "configs" / "glint",
)
