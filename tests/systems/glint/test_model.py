import pytest
import torch

from holdfast.systems.glint.model import UNet, build_model

from .eyes import config_for


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_published_network_has_as_many_parameters_as_published():
    assert parameters(build_model(config_for())) == 1_897_752


@pytest.mark.parametrize(
    "base_channels, output_stride, count",
    [(8, 4, 475_344), (8, 2, 484_256), (16, 2, 1_933_496), (16, 1, 1_942_408), (64, 1, 31_036_936)],
)
def test_each_step_of_decoding_adds_its_parameters(base_channels: int, output_stride: int, count: int):
    model = UNet(base_channels=base_channels, output_stride=output_stride, num_outputs=8)
    assert parameters(model) == count


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_maps_have_the_size_of_the_image_divided_by_the_stride(stride: int):
    model = UNet(base_channels=2, output_stride=stride, num_outputs=3)
    assert model(torch.zeros(2, 1, 64, 32)).shape == (2, 3, 64 // stride, 32 // stride)


def test_a_new_network_expects_next_to_nothing_everywhere():
    model = UNet(base_channels=4, output_stride=4, num_outputs=8).eval()
    assert torch.sigmoid(model(torch.rand(1, 1, 32, 32))).mean() < 0.05


def test_the_size_of_the_training_images_is_kept_with_the_weights_and_evaluation_leaves_it():
    model = UNet(base_channels=2, output_stride=4, num_outputs=1)
    model(torch.zeros(2, 1, 32, 48))
    model.eval()(torch.zeros(1, 1, 64, 64))
    assert model.state_dict()["image_size"].tolist() == [32, 48]
