"""Encoders by torchvision's names: each trains, predicts, begins with weights, is exported; what cannot be is told."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from sightline import cli
from sightline.classes import ROAD_SCENE
from sightline.config import Train, to_dict
from sightline.errors import ConfigError
from sightline.learning.checkpoint import network_of
from sightline.learning.encoders import TORCHVISION
from sightline.learning.graph import graph_of
from sightline.learning.inference import Predictor
from sightline.learning.learner import fit, make_learner
from sightline.learning.model import build, load_weights, save_weights
from sightline.learning.pixels import Item
from sightline.learning.runtime import OnnxNetwork
from sightline.sample import make_dataset

ARCHS = ("light", "unet", "linknet", "fpn", "deeplabv3plus", "segformer")
SMALL = {"pretrained": False, "epochs": 1, "image_size": (64, 96), "batch_size": 3, "precision": "bf16"}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    root = make_dataset(tmp_path_factory.mktemp("encoders") / "s", drives=5, frames=1, size=(64, 96), workers=1)
    return [Item(p, root / "labels" / f"{p.stem}_mask.png", (64, 96)) for p in sorted(root.glob("images/*.jpg"))]


def trained(items, folder, settings):
    """(history, network) after training on three images, two to validate."""
    learner, metric = make_learner(items[:3], items[3:], ROAD_SCENE, settings, 1)
    return fit(learner, metric, settings, 1, folder, lambda row, speed: None), network_of(learner)


def predictor(folder, settings):
    return Predictor(
        folder / "best.safetensors", {"train": to_dict(settings), "class_weights": None}, ROAD_SCENE, "cpu"
    )


@pytest.mark.parametrize("encoder", TORCHVISION)
def test_each_trains_in_half_precision_and_predicts(items, tmp_path, encoder):
    settings = Train(**SMALL, encoder=encoder)
    history, network = trained(items, tmp_path, settings)
    assert np.isfinite(history.rows[0]["train_loss"]) and np.isfinite(history.rows[0]["valid_loss"])
    assert encoder.split("_")[0] in network.encoder.name
    found = predictor(tmp_path, settings).predict(np.zeros((2, 40, 70, 3), np.uint8), (80, 140))
    assert found.labels.shape == (2, 80, 140) and found.labels.max() < len(ROAD_SCENE)


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("encoder", TORCHVISION)
def test_each_goes_with_every_architecture(encoder, arch):
    network = build(Train(**SMALL, encoder=encoder, arch=arch), 7, pretrained=False)
    logits = network(torch.rand(2, 3, 50, 90))
    assert logits.shape == (2, 7, 50, 90)
    logits.square().mean().backward()
    parts = list(network.network.encoder.parameters())
    assert sum(part.grad is not None for part in parts) > 0.9 * len(parts), "the encoder learns too"
    assert parts[0].grad.abs().sum() > 0


@pytest.mark.parametrize(
    "encoder",
    ["regnet_x_400mf", *(pytest.param(one, marks=pytest.mark.slow) for one in ("convnext_tiny", "mobilenet_v3_small"))],
)
def test_the_recipe_of_the_course_takes_them_from_torchvision(items, tmp_path, encoder):
    settings = Train(**{**SMALL, "precision": "auto"}, encoder=encoder, recipe="course", augment="none")
    _, network = trained(items, tmp_path, settings)
    import torchvision

    theirs = getattr(torchvision.models, encoder)(weights=None)
    body = {tuple(part.shape) for name, part in theirs.named_parameters() if not name.startswith(("fc", "classifier"))}
    assert body <= {tuple(part.shape) for part in network.parameters()}
    found = predictor(tmp_path, settings).predict(np.zeros((1, 64, 96, 3), np.uint8), (90, 120))
    assert found.labels.shape == (1, 90, 120)


@pytest.mark.parametrize("encoder", TORCHVISION)
def test_a_classifier_of_timm_gives_its_weights_to_the_encoder(tmp_path, encoder):
    torch.manual_seed(5)
    theirs = timm.create_model(TORCHVISION[encoder], pretrained=False)
    save_file(theirs.state_dict(), tmp_path / "timm.safetensors")
    network = build(Train(encoder=encoder), 7, pretrained=False).network
    load_weights(network, tmp_path / "timm.safetensors")
    image = torch.rand(1, 3, 64, 96)
    theirs.eval(), network.eval()
    with torch.inference_mode():
        _, features = theirs.forward_intermediates(image, intermediates_only=False)
        ours = network.encoder(image)
    # mobilenet: timm's own classifier ends with one convolution more than its last feature map
    assert any(torch.allclose(ours[-1], one, atol=1e-5) for one in features if one.shape == ours[-1].shape)


def test_weights_of_a_file_stand_still_at_first(items, tmp_path):
    settings = Train(**SMALL, encoder="mobilenet_v3_small", freeze_epochs=1)
    first = build(settings, len(ROAD_SCENE), pretrained=False).network
    save_weights(first.encoder, tmp_path / "encoder.safetensors")
    begun = Train(**{**vars(settings), "weights": str(tmp_path / "encoder.safetensors")})
    _, network = trained(items, tmp_path / "frozen", begun)
    before = load_file(tmp_path / "encoder.safetensors")
    norms = {name.rpartition(".")[0] for name in before if name.endswith("running_mean")}
    kept = [name for name, _ in network.encoder.named_parameters() if name.rpartition(".")[0] not in norms]
    assert len(kept) > 50
    assert all(torch.equal(network.encoder.state_dict()[name], before[name]) for name in kept)
    _, network = trained(items, tmp_path / "free", Train(**{**vars(begun), "freeze_epochs": 0}))
    assert not all(torch.equal(network.encoder.state_dict()[name], before[name]) for name in kept)


def total(network):
    return float(sum(part.detach().double().abs().sum() for part in network.parameters()))


class Hub(BaseHTTPRequestHandler):
    """As much of the model hub as its library asks for, with the files of `folder`; notes the repositories."""

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        owner, repository, name = self.path.split("/")[1], self.path.split("/")[2], self.path.rpartition("/")[2]
        path = self.server.folder / f"{repository}.safetensors"
        if name != "model.safetensors" or not path.is_file():
            self.send_error(404)
            return
        self.server.asked.append(f"{owner}/{repository}")
        self.send_response(200)
        for key, value in {"Content-Length": path.stat().st_size, "ETag": f'"{repository}"'}.items():
            self.send_header(key, str(value))
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if body:
            self.wfile.write(path.read_bytes())

    def log_message(self, *args):
        pass


PRETRAINED = """
import sys, json, torch
from sightline.config import Train
from sightline.learning.model import build
torch.manual_seed(0)
print(json.dumps({one: float(sum(part.detach().double().abs().sum() for part in
    build(Train(encoder=one), 7, pretrained=True).network.encoder.parameters())) for one in sys.argv[1:]}))
"""


def test_pretrained_weights_are_asked_for_by_their_right_names_and_loaded(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.folder, server.asked = tmp_path, []
    expected = {}
    for encoder, name in TORCHVISION.items():
        torch.manual_seed(7)
        save_file(timm.create_model(name, pretrained=False).state_dict(), tmp_path / f"{name}.safetensors")
        network = build(Train(encoder=encoder), 7, pretrained=False).network
        load_weights(network, tmp_path / f"{name}.safetensors")
        expected[encoder] = total(network.encoder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    home = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "hub")}
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error::UserWarning", "-c", PRETRAINED, *TORCHVISION],
            capture_output=True, text=True, env={**kept, **home, "OMP_NUM_THREADS": "1"}, timeout=300, check=False,
        )  # fmt: skip
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(expected)
    assert set(server.asked) == {f"timm/{name}" for name in TORCHVISION.values()}
    assert all(name in timm.list_pretrained() for name in TORCHVISION.values())


@pytest.mark.parametrize("recipe", ["default", "course"])
def test_an_encoder_that_does_not_exist_is_told_with_those_near_it(items, recipe):
    with pytest.raises(ConfigError, match=r"'convnext_tinny' \(--encoder\).*Near it: .*convnext_tiny"):
        make_learner(items[:3], items[3:], ROAD_SCENE, Train(**SMALL, encoder="convnext_tinny", recipe=recipe), 1)


def test_what_does_not_go_together_is_told(items):
    with pytest.raises(ConfigError, match="--arch linknet and --encoder mit_b0 do not go together"):
        build(Train(arch="linknet", encoder="mit_b0"), 7, pretrained=False)
    with pytest.raises(ConfigError, match="--arch linknet and --encoder mit_b0 do not go together"):
        build(Train(arch="linknet", encoder="mit_b0"), 7, pretrained=True)
    course = Train(**{**SMALL, "precision": "auto"}, encoder="vit_b_16", recipe="course", augment="none")
    with pytest.raises(ConfigError, match="unet_learner cannot make a U-Net of vit_b_16"):
        make_learner(items[:3], items[3:], ROAD_SCENE, course, 1)
    with pytest.raises(ConfigError, match="Leave out --arch"):
        make_learner(items[:3], items[3:], ROAD_SCENE, Train(recipe="course", arch="unet"), 1)


def test_the_help_names_them():
    text = CliRunner().invoke(cli.app, ["train", "--help"], env={"COLUMNS": "300", "TERM": "dumb"}).stdout
    for encoder in TORCHVISION:
        assert encoder in text


@pytest.mark.parametrize(
    ("encoder", "arch"),
    [
        pytest.param(
            encoder, arch, marks=[] if (encoder, arch) == ("regnet_x_400mf", "segformer") else pytest.mark.slow
        )
        for encoder in TORCHVISION
        for arch in (*ARCHS, "course")
    ],
)
def test_each_is_exported_to_onnx(tmp_path, encoder, arch):
    torch.manual_seed(0)
    kind = {"recipe": "course"} if arch == "course" else {"arch": arch}
    settings = Train(**SMALL, encoder=encoder, **kind)
    if arch == "course":
        from sightline.learning.encoders import torchvision_model
        from sightline.learning.libraries import vision

        network = vision.create_unet_model(torchvision_model(encoder), 7, settings.image_size, pretrained=False)
    else:
        network = build(settings, 7, pretrained=False).network
    save_weights(network, tmp_path / "best.safetensors")
    ours = predictor(tmp_path, settings)
    (tmp_path / "m.onnx").write_bytes(graph_of(ours, {"model": "m"}).SerializeToString())
    theirs = OnnxNetwork(tmp_path / "m.onnx", "cpu")
    for shape in ((1, 64, 96, 3), (2, 97, 64, 3)):
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        expected = ours.logits(pixels).numpy()
        assert np.abs(theirs.both(pixels, (90, 120))[0] - expected).max() < 1e-3 * max(1, np.abs(expected).max())
