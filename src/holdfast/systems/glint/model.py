"""The U-Net: a grey eye image becomes one map of logits per glint.

    image [N, 1, H, W] -> 4 blocks with 2x2 max pooling between -> bottleneck at H/16
                       -> transposed convolution, concatenation, block; until the output stride is reached
                       -> 1x1 convolution -> logits [N, num_glints, H/stride, W/stride]

A block is twice (3x3 convolution without bias, batch normalisation, ReLU).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from holdfast.systems.glint.config import SIDE_MULTIPLE, GlintConfig

_DEPTH = 4
assert 2**_DEPTH == SIDE_MULTIPLE

# Nearly all of a target is zero: sigmoid(-4) = 0.018 begins there instead of unlearning one half everywhere.
_OUTPUT_BIAS = -4.0


class UNet(nn.Module):
    """A U-Net that stops decoding at 1/1, 1/2 or 1/4 of the input's resolution."""

    image_size: Tensor
    """Height and width of the images it was last trained on (0, 0 before); kept beside the weights, for prediction."""

    def __init__(self, *, base_channels: int, output_stride: int, num_outputs: int) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(_DEPTH + 1)]
        levels_up = {4: 2, 2: 3, 1: 4}[output_stride]
        rising = widths[::-1][: levels_up + 1]
        self.encoder = nn.ModuleList(_block(before, after) for before, after in pairwise([1, *widths[:-1]]))
        self.pool = nn.MaxPool2d(2)
        self.bottleneck = _block(widths[-2], widths[-1])
        self.up = nn.ModuleList(nn.ConvTranspose2d(before, after, 2, stride=2) for before, after in pairwise(rising))
        # Half of what a decoder block gets comes from below, half from the encoder block of the same size.
        self.decoder = nn.ModuleList(_block(before, after) for before, after in pairwise(rising))
        self.head = nn.Conv2d(rising[-1], num_outputs, 1)
        nn.init.constant_(self.head.bias, _OUTPUT_BIAS)  # pyright: ignore[reportArgumentType]
        self.register_buffer("image_size", torch.zeros(2, dtype=torch.int64))

    def forward(self, image: Tensor) -> Tensor:
        """Gives the logits of every glint's map."""
        if self.training:
            self.image_size[0], self.image_size[1] = image.shape[-2:]
        skipped = []
        features = image
        for block in self.encoder:
            features = block(features)
            skipped.append(features)
            features = self.pool(features)
        features = self.bottleneck(features)
        for up, block in zip(self.up, self.decoder, strict=True):
            features = block(torch.cat([up(features), skipped.pop()], dim=1))
        return self.head(features)


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def build_model(config: GlintConfig) -> UNet:
    """Builds the network that a configuration describes."""
    model = config.model
    return UNet(base_channels=model.base_channels, output_stride=model.output_stride, num_outputs=model.num_glints)
