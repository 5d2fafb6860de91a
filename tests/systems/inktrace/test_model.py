import pytest
import torch
from torch import nn

from holdfast.systems.inktrace.config import InkModel
from holdfast.systems.inktrace.model import InkNet, build_model

from .drawings import config_for


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def networks() -> tuple[InkNet, InkNet]:
    structural, dense = (build_model(config_for(model={"full_heads": full})) for full in (False, True))
    return structural, dense


def test_the_specified_network_has_as_many_parameters_as_documented():
    assert parameters(InkNet(InkModel(full_heads=False), 64)) == 1_772_775
    assert parameters(InkNet(InkModel(), 64)) == 1_839_756


@pytest.mark.parametrize("size", [32, 64])
def test_every_field_has_the_size_of_the_picture_and_its_limits(size: int):
    model = build_model(config_for(data={"img_size": size}))
    said = model.predict(torch.rand(2, 1, size, size))
    channels = {name: tuple(field.shape) for name, field in said._asdict().items()}
    assert channels == {
        "skeleton": (2, 1, size, size), "tangent": (2, 2, size, size), "keypoints": (2, 2, size, size),
        "width": (2, 1, size, size), "offset": (2, 2, size, size),
    }  # fmt: skip
    assert said.keypoints is not None and said.width is not None and said.offset is not None
    assert said.skeleton.min() >= 0 and said.skeleton.max() <= 1
    assert said.tangent.abs().max() <= 1 and said.width.min() >= 0 and said.offset.abs().max() <= 0.5
    assert said.keypoints.min() >= 0 and said.keypoints.max() <= 1


def test_without_full_heads_there_are_skeleton_and_tangent_alone():
    said = networks()[0](torch.rand(1, 1, 32, 32))
    assert [name for name, field in said._asdict().items() if field is not None] == ["skeleton", "tangent"]


def test_a_new_network_expects_next_to_nothing_everywhere():
    for model in networks():
        said = model.eval().predict(torch.rand(4, 1, 32, 32))
        assert said.skeleton.mean() < 0.05
        assert said.keypoints is None or said.keypoints.mean() < 0.05


def test_the_weights_of_the_first_stage_are_some_of_those_of_the_second_by_name_and_shape():
    structural, dense = (model.state_dict() for model in networks())
    assert {name: weight.shape for name, weight in structural.items()}.items() <= {
        name: weight.shape for name, weight in dense.items()
    }.items()
    new = {name.split(".")[0] + "." + name.split(".")[1] for name in dense.keys() - structural.keys()}
    assert new == {"line_head.width", "line_head.offset", "keypoint_head.view", "keypoint_head.output"}


def test_without_full_heads_everything_goes_through_the_bottleneck():
    structural, dense = (model.eval() for model in networks())
    for model, sees_past in ((structural, False), (dense, True)):
        model.bottleneck.forward = torch.zeros_like  # pyright: ignore
        one, other = (model(torch.rand(1, 1, 32, 32)).skeleton for _ in range(2))
        assert torch.equal(one, other) is not sees_past


def test_what_looks_back_gets_no_gradient_while_it_is_unused():
    structural, dense = networks()
    for model, is_used in ((structural, False), (dense, True)):
        sum(field.sum() for field in model(torch.rand(2, 1, 32, 32)) if field is not None).backward()
        looking = [p for name, p in model.named_parameters() if "ground_" in name or "fuse_" in name]
        assert len(looking) > 20
        assert all((p.grad is not None) is is_used for p in looking)


def test_grounding_changes_nothing_before_it_is_trained():
    model = networks()[1]
    asking, asked = torch.rand(1, 8, 4, 4), torch.rand(1, 8, 4, 4)
    assert torch.equal(model.decoder.ground_middle(asking, asked), asking)


@pytest.mark.parametrize("full", [False, True])
def test_one_picture_is_enough_for_a_batch(full: bool):
    model = build_model(config_for(model={"full_heads": full}))
    assert torch.isfinite(model(torch.rand(1, 1, 32, 32)).skeleton).all()


def test_pictures_of_a_batch_do_not_see_each_other_in_evaluation():
    model = build_model(config_for()).eval()
    images = torch.rand(3, 1, 32, 32)
    together = model(images)
    alone = [model(image[None]) for image in images]
    for name, field in together._asdict().items():
        assert torch.allclose(field, torch.cat([getattr(said, name) for said in alone]), atol=1e-5)
