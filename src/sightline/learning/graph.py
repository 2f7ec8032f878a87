"""A trained network as an ONNX graph with all that goes before and after it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sightline.errors import ConfigError
from sightline.learning.inference import Predictor
from sightline.learning.model import Segmenter
from sightline.learning.runtime import PREFIX


class FromBytes(nn.Module):
    """A network that takes images as they are read: B×h×w×3 uint8 -> logits B×C×h×w."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images B×h×w×3 uint8 -> logits B×C×h×w."""
        logits: torch.Tensor = self.model(images.permute(0, 3, 1, 2).float() / 255)
        return logits


class PlainUnet(nn.Module):
    """fastai's `DynamicUnet` layer by layer, without its tensor subclass and its branches by size, which no graph has.

    Args:
        network: the trained one; its layers are shared.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.layers = network.layers

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images B×3×h×w -> logits B×C×h×w."""
        out = images
        for layer in self.layers:
            out = _LAYERS.get(type(layer).__name__, _plain)(layer, out, images)
        return out


def _plain(layer: Any, out: torch.Tensor, images: torch.Tensor) -> Any:
    return layer(out)


def _block(block: Any, out: torch.Tensor, images: torch.Tensor) -> Any:
    """A step up: enlarged to the size of what the encoder had there, which its hook keeps, and joined with it."""
    skip = block.hook.stored
    up = functional.interpolate(block.shuf(out), size=skip.shape[-2:], mode="nearest")
    return block.conv2(block.conv1(block.relu(torch.cat([up, block.bn(skip)], dim=1))))


_LAYERS: Mapping[str, Any] = {
    "UnetBlock": _block,
    "ResizeToOrig": lambda layer, out, images: functional.interpolate(out, size=images.shape[-2:], mode=layer.mode),
    "MergeLayer": lambda layer, out, images: torch.cat([out, images], dim=1),
    "ToTensorBase": lambda layer, out, images: out,
}


def graph_of(predictor: Predictor, about: Mapping[str, str]) -> Any:
    """The network as an `onnx.ModelProto`.

    Inputs: `images` uint8 B×h×w×3 (0 to 255, RGB), `size` int64[2], the (height, width) wanted, and `sure` bool, true
    when left out. Outputs: `labels` uint8 B×H×W at that size; `confidence` float32 B×H×W, or without any element if not
    `sure`, which saves a tenth of the time; `logits` float32 B×C×h×w. B, h and w are free.

    Args:
        predictor: the network, on the CPU.
        about: what its metadata say besides the class map, the image size and the recipe.

    Raises:
        ConfigError: the network has what cannot be exported, or a library for it is missing.
    """
    settings = predictor.settings
    model = _translate(FromBytes(_exportable(predictor)).eval(), settings.image_size, settings.arch, settings.encoder)
    _enlarge(model)
    _strip(model)
    told = {
        "classes": json.dumps(predictor.classes.to_dict()),
        "image_size": json.dumps(list(settings.image_size)),
        "recipe": settings.recipe,
        **about,
    }
    import onnx

    onnx.helper.set_model_props(model, {PREFIX + key: value for key, value in told.items()})
    onnx.checker.check_model(model)
    return model


def _exportable(predictor: Predictor) -> nn.Module:
    model: Any = predictor.model
    if predictor.settings.recipe != "course":
        return predictor.model
    normalizes = bool(np.any(model.mean.cpu().numpy()))
    return Segmenter(PlainUnet(model.network), model.stride, normalizes).eval()


def _translate(network: nn.Module, size: tuple[int, int], arch: str, encoder: str) -> Any:
    free = torch.export.Dim.DYNAMIC
    example = torch.zeros(2, *size, 3, dtype=torch.uint8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what torch and onnxscript themselves still call
            program = torch.onnx.export(
                network, (example,), dynamo=True, verbose=False, input_names=["images"], output_names=["logits"],
                dynamic_shapes={"images": {0: free, 1: free, 2: free}},
            )  # fmt: skip
            return program.model_proto  # type: ignore[union-attr]
    except ImportError as error:
        raise ConfigError(
            f"The export needs {error.name}, which is not installed: pip install 'sightline[onnx]'."
        ) from None
    except Exception as error:  # torch's exporter fails in many ways
        raise ConfigError(
            f"{arch} on {encoder} cannot be exported to ONNX: {_cause(error)}. Those that can: light, unet, fpn, "
            "linknet and deeplabv3plus, on a ResNet, and the recipe course."
        ) from error


def _cause(error: BaseException) -> str:
    """The first line of what the exporter tripped over, below its own advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _enlarge(model: Any) -> None:
    """Nodes behind the logits: brought to `size`, the best class of each pixel and, if `sure`, its probability."""
    from onnx import TensorProto, helper

    graph, node, named = model.graph, helper.make_node, helper.make_tensor_value_info
    shape = ["batch", "full_height", "full_width"]
    confidence = named("confidence", TensorProto.FLOAT, shape)
    graph.node.extend([
        node("Shape", ["logits"], ["batch_and_classes"], start=0, end=2),
        node("Concat", ["batch_and_classes", "size"], ["full_size"], axis=0),
        node("Resize", ["logits", "", "", "full_size"], ["enlarged"], mode="linear",
             coordinate_transformation_mode="half_pixel"),
        node("ArgMax", ["enlarged"], ["best_class"], axis=1, keepdims=0),
        node("Cast", ["best_class"], ["labels"], to=TensorProto.UINT8),
        node("If", ["sure"], ["confidence"], then_branch=_sure(), else_branch=_unsure()),
    ])  # fmt: skip
    graph.initializer.append(helper.make_tensor("sure", TensorProto.BOOL, [], [True]))
    graph.input.extend([named("size", TensorProto.INT64, [2]), named("sure", TensorProto.BOOL, [])])
    graph.output.insert(0, named("labels", TensorProto.UINT8, shape))
    graph.output.insert(1, confidence)


def _sure() -> Any:
    """The softmax probability of the best class: 1 over the sum of how likely all are beside it."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceMax", ["enlarged", "class_axis"], ["best"], keepdims=1),
        helper.make_node("Sub", ["enlarged", "best"], ["below_best"]),
        helper.make_node("Exp", ["below_best"], ["odds"]),
        helper.make_node("ReduceSum", ["odds", "class_axis"], ["total"], keepdims=0),
        helper.make_node("Reciprocal", ["total"], ["probability"]),
    ]
    axis = helper.make_tensor("class_axis", TensorProto.INT64, [1], [1])
    out = helper.make_tensor_value_info("probability", TensorProto.FLOAT, None)
    return helper.make_graph(nodes, "sure", [], [out], [axis])


def _unsure() -> Any:
    from onnx import TensorProto, helper

    nothing = helper.make_tensor("nothing", TensorProto.FLOAT, [0, 0, 0], [])
    nodes = [helper.make_node("Constant", [], ["no_probability"], value=nothing)]
    out = helper.make_tensor_value_info("no_probability", TensorProto.FLOAT, None)
    return helper.make_graph(nodes, "unsure", [], [out])


def _strip(model: Any) -> None:
    """Take out what the exporter notes of every node: file names of this machine, many times the graph's size."""
    model.graph.ClearField("value_info")
    for part in (model.graph, *model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for value in (model.graph.input[0], model.graph.output[2]):
        names = ("batch", "height", "width") if value.name == "images" else ("batch", "", "height", "width")
        for dim, name in zip(value.type.tensor_type.shape.dim, names, strict=False):
            if dim.dim_param:
                dim.dim_param = name
