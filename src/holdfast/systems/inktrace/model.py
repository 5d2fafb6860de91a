"""The hybrid network: convolutions, a transformer on an eighth of the resolution, a decoder, and one head per field.

C = `channels`, S = `img_size`; N pictures.

    image and coordinates [N, 3, S, S] -> stem [N, C/4, S/2, S/2] -> stem [N, C, S/4, S/4]
    -> six RepViT blocks [N, C, S/8, S/8] -> a token for each pixel -> transformer -> [N, C, S/8, S/8]
    -> decoder [N, C, S/4, S/4] -> [N, C/2, S/2, S/2] -> [N, C/2, S, S] -> heads

With `full_heads` the decoder looks back at both stems (grounding, then concatenation), and there is a head for each of
the five fields. Without, everything goes through the tokens, and there are skeleton and tangent alone. The parameters
of the smaller network are some of the larger one's, by name and shape; what it has for looking back stays unused.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from holdfast.systems.inktrace.blocks import (
    ConvNeXtBlock,
    Grounding,
    RepViTBlock,
    RepViTDownsample,
    WideView,
    conv_norm,
    enlarged,
    with_coordinates,
)
from holdfast.systems.inktrace.config import PATCH, InkModel, InkTraceConfig

# Nearly all of a picture is empty: sigmoid(-4.59) = 0.01 begins there instead of unlearning one half everywhere.
_RARE = -4.59


class Prediction(NamedTuple):
    """What the network says: logits of skeleton and key points, the other fields as they are; None without a head."""

    skeleton: Tensor
    tangent: Tensor
    keypoints: Tensor | None = None
    width: Tensor | None = None
    offset: Tensor | None = None


class InkNet(nn.Module):
    """The network that a configuration describes, for pictures of one size."""

    def __init__(self, shape: InkModel, img_size: int) -> None:
        super().__init__()
        channels = shape.channels
        self.encoder = Encoder(channels)
        self.bottleneck = Bottleneck(shape, tokens=(img_size // PATCH) ** 2)
        self.decoder = Decoder(channels, heads=shape.num_heads, looks_back=shape.full_heads)
        self.line_head = LineHead(channels // 2, full=shape.full_heads)
        self.keypoint_head = KeypointHead(channels // 2, channels // 4) if shape.full_heads else None

    def forward(self, image: Tensor) -> Prediction:
        """Gives what there is to say about images [N, 1, S, S]."""
        early, middle, late = self.encoder(image)
        features = self.decoder(self.bottleneck(late), middle, early)
        lines = self.line_head(features)
        return lines if self.keypoint_head is None else lines._replace(keypoints=self.keypoint_head(features))

    def predict(self, image: Tensor) -> Prediction:
        """Gives the same, with probabilities instead of logits."""
        said = self(image)
        keypoints = None if said.keypoints is None else torch.sigmoid(said.keypoints)
        return said._replace(skeleton=torch.sigmoid(said.skeleton), keypoints=keypoints)


class Encoder(nn.Module):
    """Gives features at a half, a quarter and an eighth of the resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = conv_norm(3, channels // 4, 3, stride=2)
        self.second_stem = nn.Sequential(
            conv_norm(channels // 4, channels // 2, 3, stride=2), nn.GELU(), conv_norm(channels // 2, channels, 3)
        )
        self.blocks = nn.Sequential(
            RepViTDownsample(channels),
            *(RepViTBlock(channels, weighs_channels=number % 2 == 0) for number in range(2, 7)),
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gives the features of images [N, 1, S, S], the finest first."""
        # Channels side by side in memory: convolutions of few channels are a fifth faster on a processor.
        seen = with_coordinates(image).contiguous(memory_format=torch.channels_last)
        early = F.gelu(self.stem(seen))
        middle = self.second_stem(early)
        return early, middle, self.blocks(middle)


class Bottleneck(nn.Module):
    """The transformer: every pixel of the smallest map is a token that looks at all others."""

    def __init__(self, shape: InkModel, *, tokens: int) -> None:
        super().__init__()
        width, channels = shape.embed_dim, shape.channels
        self.embed = nn.Linear(channels, width)
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, tokens, width), std=0.02))
        layer = nn.TransformerEncoderLayer(
            width, shape.num_heads, 4 * width, shape.dropout, activation="gelu", batch_first=True
        )
        self.layers = nn.TransformerEncoder(layer, shape.num_layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.widen = nn.Conv2d(width, channels, 1) if width != channels else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Gives features of the same shape, in which every pixel knows of every other."""
        tokens = self.embed(features.flatten(2).transpose(1, 2)) + self.position
        return self.widen(self.layers(tokens).transpose(1, 2).unflatten(2, features.shape[2:]))


class Decoder(nn.Module):
    """Brings the features back to the full resolution, looking back at the stems or not.

    Args:
        channels: At an eighth and a quarter of the resolution; afterwards half as many.
        heads: Of the attention to the stems.
        looks_back: Whether it does; the parameters for it are there in any case.
    """

    def __init__(self, channels: int, *, heads: int, looks_back: bool) -> None:
        super().__init__()
        self.looks_back = looks_back
        early, half = channels // 4, channels // 2
        self.ground_middle = Grounding(channels, channels, heads=heads)
        self.fuse_middle = conv_norm(2 * channels, channels)
        self.block_quarter = ConvNeXtBlock(channels)
        self.ground_early = Grounding(channels, early, heads=heads)
        self.fuse_early = conv_norm(channels + early, half)
        self.narrow = conv_norm(channels, half)
        self.block_half = ConvNeXtBlock(half)
        self.block_full = ConvNeXtBlock(half)

    def forward(self, features: Tensor, middle: Tensor, early: Tensor) -> Tensor:
        """Gives features at the full resolution, from those at an eighth and those of both stems."""
        features = enlarged(features)
        if self.looks_back:
            features = self.fuse_middle(torch.cat([self.ground_middle(features, middle), middle], dim=1))
        features = enlarged(self.block_quarter(features))
        if self.looks_back:
            features = self.fuse_early(torch.cat([self.ground_early(features, early), early], dim=1))
        else:
            features = self.narrow(features)
        return self.block_full(enlarged(self.block_half(features)))


class LineHead(nn.Module):
    """Says what the lines are like: skeleton and tangent, and if it is full, width and offset."""

    def __init__(self, channels: int, *, full: bool) -> None:
        super().__init__()
        self.shared = conv_norm(channels, channels, 3)
        self.skeleton = _output(channels, 1, bias=_RARE)
        self.tangent = _output(channels, 2)
        self.width = _output(channels, 1) if full else None
        self.offset = _output(channels, 2) if full else None

    def forward(self, features: Tensor) -> Prediction:
        """Gives the fields of lines."""
        shared = F.gelu(self.shared(features))
        return Prediction(
            skeleton=self.skeleton(shared),
            tangent=torch.tanh(self.tangent(shared)),
            width=None if self.width is None else F.softplus(self.width(shared)),
            offset=None if self.offset is None else 0.5 * torch.tanh(self.offset(shared)),
        )


class KeypointHead(nn.Module):
    """Says where the key points are, by what is around at several distances."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.view = WideView(channels + 2, inner)
        self.output = _output(inner, 2, bias=_RARE)

    def forward(self, features: Tensor) -> Tensor:
        """Gives the logits of nodes and anchors."""
        return self.output(self.view(with_coordinates(features)))


def _output(channels: int, fields: int, *, bias: float | None = None) -> nn.Conv2d:
    conv = nn.Conv2d(channels, fields, 1)
    if bias is not None:
        assert conv.bias is not None
        nn.init.constant_(conv.bias, bias)
    return conv


def build_model(config: InkTraceConfig) -> InkNet:
    """Builds the network that a configuration describes."""
    return InkNet(config.model, config.data.img_size)
