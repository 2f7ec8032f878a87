"""Export: the ONNX file computes what PyTorch does, says what it is, and is kept only if it does."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import sightline
from sightline.classes import ROAD_SCENE
from sightline.config import Train, to_dict
from sightline.errors import ConfigError, SightlineError
from sightline.learning.graph import graph_of
from sightline.learning.inference import Predictor
from sightline.learning.model import build, save_weights
from sightline.learning.runtime import OnnxNetwork
from sightline.prediction import export


@pytest.fixture
def exported(trained):
    """(configuration, what the export of a model of one epoch came to)."""
    return trained[0], trained[2]


@pytest.fixture
def translated(exported, monkeypatch):
    """Exports find their graph ready: that of the model."""
    found = exported[1].path.read_bytes()
    monkeypatch.setattr(export, "_write", lambda predictor, artifact, path: path.write_bytes(found))


def predictor(folder, settings):
    """A network with random weights, as a model artifact would hold it."""
    torch.manual_seed(0)
    if settings.recipe == "course":
        from sightline.learning.libraries import vision

        network = vision.create_unet_model(vision.resnet18, 7, settings.image_size, pretrained=False)
    else:
        network = build(settings, 7, False).network
    save_weights(network, folder / "weights.safetensors")
    config = {"train": to_dict(settings), "class_weights": None}
    return Predictor(folder / "weights.safetensors", config, ROAD_SCENE, "cpu")


def test_it_was_compared_on_real_images(exported):
    _, found = exported
    assert found.images == 4 and found.model == "scenes_model:v0"
    assert 0 < found.difference < 1e-3 * max(1, found.largest)
    assert found.agreement > 0.999
    assert [path.name for path in found.path.parent.iterdir()] == ["model.onnx"]


def test_the_file_says_what_it_is_and_nothing_of_this_machine(exported):
    config, found = exported
    model = onnx.load(found.path)
    onnx.checker.check_model(model, full_check=True)
    about = {prop.key.removeprefix("sightline."): prop.value for prop in model.metadata_props}
    assert json.loads(about["classes"]) == ROAD_SCENE.to_dict()
    assert json.loads(about["image_size"]) == [64, 96]
    digest = sightline.open_tracker(config).get("scenes_model").digest
    assert (about["recipe"], about["version"], about["model"], about["digest"]) == (
        "default", sightline.__version__, "scenes_model:v0", digest,
    )  # fmt: skip
    assert [value.name for value in model.graph.input] == ["images", "size", "sure"]
    assert [value.name for value in model.graph.output] == ["labels", "confidence", "logits"]
    assert model.opset_import[0].version >= 18
    text = found.path.read_bytes()
    assert b".py" not in text and str(export.__file__).rpartition("/src/")[0].encode() not in text


def test_anyone_can_use_it_with_images_alone(exported):
    session = onnxruntime.InferenceSession(exported[1].path)
    images = np.zeros((2, 40, 70, 3), np.uint8)
    labels, confidence, logits = session.run(None, {"images": images, "size": np.array([80, 140])})
    assert labels.shape == confidence.shape == (2, 80, 140)
    assert labels.dtype == np.uint8 and confidence.dtype == np.float32
    assert logits.shape == (2, 7, 40, 70)


def test_the_recipe_of_the_course_computes_the_same(tmp_path):
    ours = predictor(tmp_path, Train(pretrained=True, image_size=(64, 96), recipe="course"))
    (tmp_path / "m.onnx").write_bytes(graph_of(ours, {"model": "m"}).SerializeToString())
    theirs = OnnxNetwork(tmp_path / "m.onnx", "cpu")
    assert theirs.recipe == "course"
    for shape in ((1, 64, 96, 3), (2, 97, 64, 3)):
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        logits, found = theirs.both(pixels, (90, 120))
        assert np.abs(logits - ours.logits(pixels).numpy()).max() < 1e-3
        assert (found.labels == ours.predict(pixels, (90, 120)).labels).mean() > 0.999
        assert theirs.seen((90, 120)) == ours.seen((90, 120)) == (72, 96)


def test_what_takes_one_shape_alone_is_refused(exported, translated, tmp_path, monkeypatch):
    both = OnnxNetwork.both

    def stiff(self, images, size, sure=True):
        if images.shape[1] > images.shape[2]:
            raise RuntimeError("indices element out of data bounds")
        return both(self, images, size, sure)

    monkeypatch.setattr(OnnxNetwork, "both", stiff)
    with pytest.raises(ConfigError, match=r"light on resnet18 cannot be exported.*one shape alone.*out of data bounds"):
        sightline.export_onnx(exported[0], tmp_path / "out" / "m.onnx")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_the_exporter_cannot_translate_is_told(tmp_path):
    ours = predictor(tmp_path, Train(pretrained=False, image_size=(64, 96)))

    class Odd(torch.nn.Module):
        def forward(self, images):
            return images if float(images.sum()) > 0 else -images

    ours.model = Odd()
    with pytest.raises(ConfigError, match=r"light on resnet18 cannot be exported to ONNX: .*Those that can"):
        graph_of(ours, {"model": "m"})


def test_a_file_that_computes_something_else_is_not_kept(exported, translated, tmp_path, monkeypatch):
    both = OnnxNetwork.both

    def wrong(self, images, size, sure=True):
        logits, found = both(self, images, size, sure)
        return logits + 1, found

    monkeypatch.setattr(OnnxNetwork, "both", wrong)
    with pytest.raises(SightlineError, match=r"m.onnx was not written.*logits differ by 1"):
        sightline.export_onnx(exported[0], tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_only_by_force(exported, tmp_path):
    (tmp_path / "m.onnx").write_text("mine")
    with pytest.raises(ConfigError, match="--force"):
        sightline.export_onnx(exported[0], tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match=r"does not end in .onnx"):
        sightline.export_onnx(exported[0], tmp_path / "model.pt")
    assert (tmp_path / "m.onnx").read_text() == "mine"
