"""The parts that the network of InkTrace is built of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_norm(before: int, after: int, kernel: int = 1, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Builds a convolution and its normalisation; the sides of the picture are divided by the stride."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(before, after, kernel, stride, padding, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after))


def depthwise(channels: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    """Builds a convolution of each channel by itself, and its normalisation."""
    conv = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels))


def with_coordinates(features: Tensor) -> Tensor:
    """Adds two channels: x and y of each pixel, from -1 to 1."""
    count, _, height, width = features.shape
    x = torch.linspace(-1, 1, width, device=features.device, dtype=features.dtype)
    y = torch.linspace(-1, 1, height, device=features.device, dtype=features.dtype)
    columns, rows = x.expand(count, 1, height, width), y[:, None].expand(count, 1, height, width)
    return torch.cat([features, columns, rows], dim=1)


def enlarged(features: Tensor) -> Tensor:
    """Gives features at twice the resolution."""
    return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)


class SqueezeExcite(nn.Module):
    """Weighs each channel by what all of the picture says about it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 4)
        self.squeeze = nn.Conv2d(channels, inner, 1)
        self.excite = nn.Conv2d(inner, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Gives weighed features."""
        means = features.mean((2, 3), keepdim=True)
        return features * torch.sigmoid(self.excite(F.relu(self.squeeze(means))))


class ChannelMixer(nn.Module):
    """Adds to every pixel a function of its own channels; nothing at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand = conv_norm(channels, 2 * channels)
        self.project = conv_norm(2 * channels, channels)
        nn.init.zeros_(self.project[1].weight)  # pyright: ignore[reportArgumentType]

    def forward(self, features: Tensor) -> Tensor:
        """Gives mixed features."""
        return features + self.project(F.gelu(self.expand(features)))


class RepViTBlock(nn.Module):
    """Mixes each channel over its neighbourhood, by three branches, then all channels of each pixel."""

    def __init__(self, channels: int, *, weighs_channels: bool) -> None:
        super().__init__()
        self.near = depthwise(channels, 3)
        self.here = nn.Conv2d(channels, channels, 1, groups=channels)
        self.norm = nn.BatchNorm2d(channels)
        self.weigh = SqueezeExcite(channels) if weighs_channels else nn.Identity()
        self.mix = ChannelMixer(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Gives features of the same shape."""
        return self.mix(self.weigh(self.norm(self.near(features) + self.here(features) + features)))


class RepViTDownsample(nn.Module):
    """A RepViT block that halves the resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.near = depthwise(channels, 3, stride=2)
        self.cross = conv_norm(channels, channels)
        self.mix = ChannelMixer(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Gives features at half the resolution."""
        return self.mix(self.cross(self.near(features)))


class ConvNeXtBlock(nn.Module):
    """A wide depthwise convolution and a mixing of channels, added to what comes in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.near = depthwise(channels, 7)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.project = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Gives features of the same shape."""
        return features + self.project(F.gelu(self.expand(self.near(features))))


class Grounding(nn.Module):
    """Lets a map look up details anywhere in an earlier one; changes nothing at first, for its gates begin shut.

    Args:
        channels: Of the map that asks.
        earlier: Channels of the one that is asked; the attention has no more.
        heads: Of the attention.
    """

    def __init__(self, channels: int, earlier: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_asking = nn.GroupNorm(1, channels)
        self.norm_asked = nn.GroupNorm(1, earlier)
        self.query = nn.Conv2d(channels, earlier, 1)
        self.key = nn.Conv2d(earlier, earlier, 1)
        self.value = nn.Conv2d(earlier, earlier, 1)
        self.project = nn.Conv2d(earlier, channels, 1)
        self.gate = nn.Parameter(torch.zeros(1))
        self.norm = nn.GroupNorm(1, channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.contract = nn.Conv2d(2 * channels, channels, 1)
        self.mix_gate = nn.Parameter(torch.zeros(1))

    def forward(self, asking: Tensor, asked: Tensor) -> Tensor:
        """Gives the asking map [N, channels, h, w] with what it found in the asked one [N, earlier, h, w]."""
        normed = self.norm_asked(asked)
        query = self._by_head(self.query(self.norm_asking(asking)))
        key, value = self._by_head(self.key(normed)), self._by_head(self.value(normed))
        found = (
            F.scaled_dot_product_attention(query, key, value)
            .transpose(2, 3)
            .reshape(asked.shape[0], -1, *asking.shape[2:])
        )
        asking = asking + self.gate * self.project(found)
        return asking + self.mix_gate * self.contract(F.gelu(self.expand(self.norm(asking))))

    def _by_head(self, features: Tensor) -> Tensor:
        """Gives positions as rows [N, heads, positions, channels of a head]."""
        # In one piece, or the attention that never holds all pairs of positions at once is not taken.
        return features.unflatten(1, (self.heads, -1)).flatten(3).transpose(2, 3).contiguous()


class WideView(nn.Module):
    """Looks at several distances at once (atrous spatial pyramid pooling), then a few channels of what it saw."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.here = conv_norm(before, after)
        self.around = nn.ModuleList(conv_norm(before, after, 3, dilation=dilation) for dilation in (2, 4, 6))
        # Without a norm: over one pixel of a batch of one there would be nothing to normalise.
        self.everywhere = nn.Conv2d(before, after, 1)
        self.fuse = conv_norm(5 * after, after)

    def forward(self, features: Tensor) -> Tensor:
        """Gives a few channels for every pixel."""
        mean = F.gelu(self.everywhere(features.mean((2, 3), keepdim=True))).expand(-1, -1, *features.shape[2:])
        seen = [F.gelu(view(features)) for view in (self.here, *self.around)]
        return F.gelu(self.fuse(torch.cat([*seen, mean], dim=1)))
