"""Train: what goes into the network, what is kept of it, and that resuming is as if nothing had happened."""

import hashlib
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import sightline
from sightline.classes import ROAD_SCENE, ClassMap
from sightline.config import Train, load_config
from sightline.errors import ConfigError, TrainingError
from sightline.learning.data import Item, Letterbox, canvas_of, fitted, loaders
from sightline.learning.learner import CrossEntropyDice, class_weights, device_of, fit, make_learner, network_of
from sightline.learning.model import Segmenter, build, load_weights, rebuild, save_weights
from sightline.sample import make_dataset

SMALL = Train(pretrained=False, epochs=2, image_size=(64, 96), batch_size=4)
COURSE = Train(pretrained=False, epochs=1, image_size=(64, 96), batch_size=4, recipe="course")


@pytest.fixture(autouse=True)
def one_thread():
    """Images this small are no work for several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    root = make_dataset(tmp_path_factory.mktemp("train") / "scenes", drives=4, frames=3, size=(64, 96), workers=1)
    return [Item(p, root / "labels" / f"{p.stem}_mask.png", (64, 96)) for p in sorted(root.glob("images/*.jpg"))]


def trained(items, folder, settings=SMALL, stop_after=None, seed=1):
    """(history, rows that were logged); stopped after an epoch as Ctrl-C would."""
    learner, metric = make_learner(items[:9], items[9:], ROAD_SCENE, settings, seed)
    rows = []

    def log(row, speed):
        rows.append((int(row["epoch"]), speed))
        if stop_after and speed and row["epoch"] == stop_after:
            raise KeyboardInterrupt

    return fit(learner, metric, settings, seed, folder, log), rows


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "settings", [SMALL, COURSE.__class__(**{**vars(COURSE), "epochs": 2})], ids=["default", "course"]
)
def test_resumed_is_what_undisturbed_would_have_been(items, tmp_path, settings):
    whole, _ = trained(items, tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        trained(items, tmp_path / "parts", settings, stop_after=1)
    parts, rows = trained(items, tmp_path / "parts", settings)
    assert rows[0] == (1, None)  # told again, not trained again
    assert [epoch for epoch, _ in rows] == [1, 2]
    assert json.dumps(parts.rows) == json.dumps(whole.rows)
    assert digest(tmp_path / "parts" / "best.safetensors") == digest(tmp_path / "whole" / "best.safetensors")


def test_the_same_seed_gives_the_same_weights_and_another_does_not(items, tmp_path):
    one = Train(**{**vars(SMALL), "epochs": 1})
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        trained(items, tmp_path / name, one, seed=seed)
    a, b, c = (digest(tmp_path / name / "best.safetensors") for name in "abc")
    assert a == b != c


def test_the_best_epoch_by_miou_is_kept_and_not_the_last(items, tmp_path, monkeypatch):
    import sightline.learning.learner as module

    scores = iter([0.5, 0.9, 0.7])
    monkeypatch.setattr(module, "miou", lambda _matrix: score)
    kept = []

    def save(network, path):
        kept.append(score)

    monkeypatch.setattr(module, "save_weights", save)
    monkeypatch.setattr(module, "load_weights", lambda network, path: None)
    learner, metric = make_learner(items[:9], items[9:], ROAD_SCENE, Train(**{**vars(SMALL), "epochs": 3}), 1)
    score = next(scores)

    def log(row, speed):
        nonlocal score
        score = next(scores, 0)

    history = fit(learner, metric, Train(**{**vars(SMALL), "epochs": 3}), 1, tmp_path, log)
    assert (history.best_epoch, history.best) == (2, 0.9)
    assert kept == [0.5, 0.9]


def test_a_damaged_checkpoint_is_told_and_never_unpickled(items, tmp_path):
    class Evil:
        def __reduce__(self):
            return exec, ("open('/tmp/owned', 'w')",)

    torch.save({"model": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match="--force"):
        trained(items, tmp_path)


def test_a_loss_that_diverges_is_told(items, tmp_path):
    with pytest.raises(TrainingError, match="lower --lr"):
        trained(items, tmp_path, Train(**{**vars(SMALL), "lr": 1e30}))


@pytest.mark.parametrize("size", [(360, 480), (720, 1280), (1280, 720), (64, 64), (31, 900)])
def test_images_are_fitted_undistorted(size):
    height, width = fitted(size, (180, 320))
    assert height <= 180 and width <= 320
    assert height == 180 or width == 320
    assert abs(height / width - size[0] / size[1]) <= 1 / min(height, width) * max(1, size[0] / size[1])


def test_the_canvas_holds_every_image():
    items = [Item(None, None, size) for size in [(360, 480), (720, 1280)]]
    assert canvas_of(items, (180, 320)) == (180, 320)
    assert canvas_of(items[:1], (180, 320)) == (180, 240)


def test_a_letterbox_fills_with_black_and_ignore():
    box = Letterbox((64, 96), (64, 96), 255)
    mask = np.array(box(Image.fromarray(np.full((64, 32), 3, np.uint8))))
    assert mask.shape == (64, 96)
    assert (mask[:, :32] == 3).all() and (mask[:, 32:] == 255).all()
    image = np.array(box(Image.fromarray(np.full((64, 32, 3), 200, np.uint8))))
    assert (image[:, :32] == 200).all() and (image[:, 32:] == 0).all()


def test_resizing_a_mask_makes_up_no_class():
    mask = np.random.default_rng(0).choice(np.array([0, 6, 255], np.uint8), (97, 151))
    assert set(np.unique(Letterbox((64, 96), (64, 96), 255)(Image.fromarray(mask)))) <= {0, 6, 255}


@pytest.mark.parametrize("settings", [SMALL, COURSE], ids=["default", "course"])
def test_batches_hold_images_and_masks_of_the_same_place(items, settings):
    dls = loaders(items[:9], items[9:], ROAD_SCENE, settings, "cpu")
    images, masks = dls.train.one_batch()
    assert images.shape == (4, 3, 64, 96) and masks.shape == (4, 64, 96)
    assert images.min() >= 0 and images.max() <= 1
    assert masks.dtype == torch.int64
    assert set(masks.unique().tolist()) <= {*range(7), 255}


def test_a_flip_turns_image_and_mask_alike(tmp_path):
    pixels = np.zeros((64, 96, 3), np.uint8)
    mask = np.zeros((64, 96), np.uint8)
    pixels[:, :20], mask[:, :20] = 255, 1
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(mask).save(tmp_path / "m.png")
    item = Item(tmp_path / "a.png", tmp_path / "m.png", (64, 96))
    dls = loaders([item] * 8, [item], ROAD_SCENE, SMALL, "cpu")
    sides = set()
    for _ in range(4):
        images, masks = dls.train.one_batch()
        assert torch.equal((images[:, 0] > 0.5).long(), masks.as_subclass(torch.Tensor))
        sides |= {bool(one[0, 0]) for one in masks}
    assert sides == {True, False}


def test_validation_shows_each_image_once_unshuffled_and_unchanged(items):
    dls = loaders(items[:4], items[4:], ROAD_SCENE, SMALL, "cpu")
    images = torch.cat([batch[0] for batch in dls.valid])
    stored = [np.array(Image.open(item.image).convert("RGB")) for item in items[4:]]
    assert torch.allclose(images, torch.from_numpy(np.stack(stored)).permute(0, 3, 1, 2) / 255)


def test_pads_to_multiples_of_32_and_crops_without_distortion():
    class Echo(torch.nn.Module):
        def forward(self, x):
            assert x.shape[-2] % 32 == 0 and x.shape[-1] % 32 == 0
            return x

    images = torch.rand(2, 3, 45, 70)
    assert torch.equal(Segmenter(Echo(), normalize=False)(images), images)


def test_the_loss_leaves_ignored_pixels_out():
    loss = CrossEntropyDice(255)
    logits = torch.randn(2, 7, 8, 8)
    target = torch.randint(0, 7, (2, 8, 8))
    target[:, :4] = 255
    other = logits.clone()
    other[:, :, :4] = torch.randn(2, 7, 4, 8) * 50
    assert torch.isclose(loss(logits, target), loss(other, target))
    assert not torch.isclose(loss(logits, target), loss(other, torch.where(target == 255, 0, target)))


def test_the_loss_of_nothing_but_ignored_pixels_is_a_number():
    loss = CrossEntropyDice(255)(torch.randn(1, 7, 8, 8, requires_grad=True), torch.full((1, 8, 8), 255))
    assert math.isfinite(float(loss.detach()))
    loss.backward()


def test_cross_entropy_and_dice_are_those_of_the_formulas():
    logits, target = torch.randn(2, 3, 5, 5), torch.randint(0, 3, (2, 5, 5))
    share = logits.softmax(1).movedim(1, -1)
    hot = torch.nn.functional.one_hot(target, 3).float()
    entropy = -(share.log() * hot).sum(-1).mean()
    dice = 1 - 2 * (share * hot).sum((0, 1, 2)) / (share.sum((0, 1, 2)) + hot.sum((0, 1, 2)))
    assert torch.isclose(CrossEntropyDice(255)(logits, target), entropy + dice.mean(), atol=1e-5)


def test_weighted_cross_entropy_is_the_weighted_mean_over_pixels():
    logits, target = torch.randn(2, 3, 5, 5), torch.randint(0, 3, (2, 5, 5))
    target[0, 0] = 255
    weights = [0.5, 1.0, 4.0]
    mean = torch.nn.functional.cross_entropy(logits, target, torch.tensor(weights), ignore_index=255)
    difference = CrossEntropyDice(255, weights)(logits, target) - CrossEntropyDice(255)(logits, target)
    plain = torch.nn.functional.cross_entropy(logits, target, ignore_index=255)
    assert torch.isclose(difference, mean - plain, atol=1e-5)


def test_class_weights_go_by_the_inverse_square_root_of_the_pixels():
    weights = class_weights([8100, 900, 0, 1000])
    assert weights[1] / weights[0] == pytest.approx(3)
    assert weights[2] == 1
    assert np.dot(weights, [0.81, 0.09, 0, 0.1]) == pytest.approx(1)


@pytest.mark.parametrize("setting", [{"arch": "fpn"}, {"encoder": "resnet34"}])
def test_the_course_takes_no_other_network(items, setting):
    with pytest.raises(ConfigError, match="--recipe default"):
        make_learner(items[:9], items[9:], ROAD_SCENE, Train(**{**vars(COURSE), **setting}), 1)


def test_weights_go_through_a_file_unchanged(tmp_path):
    model = build(SMALL, 7, pretrained=False)
    save_weights(model.network, tmp_path / "w.safetensors")
    again = rebuild(SMALL, 7, tmp_path / "w.safetensors")
    images = torch.rand(1, 3, 64, 96)
    assert torch.equal(model.eval()(images), again(images))


def test_weights_of_an_encoder_alone_are_taken_with_or_without_its_classifier(tmp_path):
    from safetensors.torch import save_file

    encoder = build(SMALL, 7, pretrained=False).network.encoder.state_dict()
    save_file({**encoder, "fc.weight": torch.zeros(3, 4)}, tmp_path / "e.safetensors")
    model = build(SMALL, 7, pretrained=False)
    load_weights(model.network, tmp_path / "e.safetensors")
    assert all(torch.equal(encoder[name], tensor) for name, tensor in model.network.encoder.state_dict().items())


def test_weights_that_do_not_fit_say_why(tmp_path):
    save_weights(build(SMALL, 3, pretrained=False).network, tmp_path / "w.safetensors")
    with pytest.raises(TrainingError, match="2 have another shape"):
        load_weights(build(SMALL, 7, pretrained=False).network, tmp_path / "w.safetensors")
    (tmp_path / "no.safetensors").write_text("hello")
    with pytest.raises(TrainingError, match="cannot be read"):
        load_weights(build(SMALL, 7, pretrained=False).network, tmp_path / "no.safetensors")


def test_the_encoder_is_never_trained_on_other_classes_than_the_map_names(items):
    learner, _ = make_learner(items[:9], items[9:], ClassMap(("a", "b")), SMALL, 1)
    assert network_of(learner).segmentation_head[0].out_channels == 2


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"arch": "nonsense"}, ConfigError, "unet"),
        ({"encoder": "resnet19"}, ConfigError, "resnet18"),
        ({"device": "mps" if torch.cuda.is_available() else "cuda"}, TrainingError, "There is: .*cpu"),
    ],
)
def test_what_does_not_exist_is_told_with_what_does(items, settings, error, text):
    with pytest.raises(error, match=text):
        make_learner(items[:9], items[9:], ROAD_SCENE, Train(**{**vars(SMALL), **settings}), 1)


def test_auto_takes_the_best_device_there_is():
    assert device_of("auto") in ("cuda", "mps", "cpu")


OFFLINE = """
import sys, socket
def refuse(*args, **kwargs):
    raise OSError("no network in this test")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
import sightline
from sightline.config import Train
from sightline.learning.learner import make_learner
from sightline.learning.data import Item
from sightline.classes import ROAD_SCENE
from pathlib import Path
items = [Item(Path(image), Path(mask), (64, 96)) for image, mask in zip(sys.argv[2::2], sys.argv[3::2])]
try:
    make_learner(items[:9], items[9:], ROAD_SCENE, Train(recipe=sys.argv[1], image_size=(64, 96), batch_size=4), 1)
except sightline.TrainingError as error:
    print(error)
"""


@pytest.mark.parametrize("recipe", ["default", "course"])
def test_pretrained_weights_that_cannot_be_had_stop_the_training_plainly(items, tmp_path, recipe):
    import os

    files = [str(path) for item in items for path in (item.image, item.mask)]
    home = {**os.environ, "HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, recipe, *files],
        capture_output=True,
        text=True,
        env=home,
        timeout=120,
        check=True,
    )
    assert "ImageNet weights of resnet18 cannot be had" in done.stdout
    assert "--no-pretrained" in done.stdout


def test_the_weights_file_has_to_be_there(tmp_path):
    config = load_config(None, {"data": str(tmp_path), "store": str(tmp_path / "s"), "weights": "nowhere.safetensors"})
    with pytest.raises(sightline.SightlineError):
        sightline.train(config)
