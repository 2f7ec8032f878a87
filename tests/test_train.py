"""Train: what goes into the network, what is kept of it, and that resuming is as if nothing had happened."""

import hashlib
import json
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
from sightline.learning.cache import Canvas, Decoded
from sightline.learning.checkpoint import network_of, restore
from sightline.learning.course import course_loaders
from sightline.learning.data import loaders
from sightline.learning.device import deterministic, device_of, layout_of, precision_of
from sightline.learning.learner import find_lr, fit, make_learner
from sightline.learning.losses import CrossEntropyDice, class_weights, loss_of
from sightline.learning.model import Segmenter, build, load_weights, rebuild, save_weights
from sightline.learning.pixels import Item, canvas_of, covering, fitted
from sightline.sample import make_dataset

SMALL = Train(pretrained=False, epochs=2, image_size=(64, 96), batch_size=4)
COURSE = Train(pretrained=False, epochs=1, image_size=(64, 96), batch_size=4, recipe="course")

pytestmark = pytest.mark.usefixtures("one_thread")


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


def test_resumed_in_fp16_the_loss_is_scaled_as_it_was(items, tmp_path, monkeypatch):
    import sightline.learning.learner as module

    monkeypatch.setattr(module, "precision_of", lambda wanted, device: "fp16")  # which is for GPUs: this CPU stands in
    trained(items, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(items, tmp_path / "parts", stop_after=1)
    assert torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)["scaler"]["_growth_tracker"] > 0
    trained(items, tmp_path / "parts")
    whole, parts = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("whole", "parts"))
    for name in ("scaler", "rows"):
        assert json.dumps(whole[name]) == json.dumps(parts[name])


def test_the_same_seed_gives_the_same_weights_and_another_does_not(items, tmp_path):
    one = Train(**{**vars(SMALL), "epochs": 1})
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        trained(items, tmp_path / name, one, seed=seed)
    a, b, c = (digest(tmp_path / name / "best.safetensors") for name in "abc")
    assert a == b != c


def test_the_best_epoch_by_miou_is_kept_and_not_the_last(items, tmp_path, monkeypatch):
    import sightline.learning.checkpoint as module

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


def test_a_checkpoint_is_restored_where_it_is_gone_on_with(items, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained(items, tmp_path, stop_after=1)
    learner, _ = make_learner(items[:9], items[9:], ROAD_SCENE, SMALL, 1)
    learner.dls.device = torch.device("meta")  # stands for a GPU
    restore(learner, tmp_path)
    moments = [tensor for state in learner.opt.opt.state.values() for tensor in state.values()]
    assert {tensor.device.type for tensor in (*moments, *learner.model.parameters())} == {"meta"}


def test_a_checkpoint_that_a_power_cut_left_empty_is_told(items, tmp_path):
    (tmp_path / "checkpoint.pt").touch()
    with pytest.raises(TrainingError, match=r"empty.* --force"):
        trained(items, tmp_path)


def test_a_batch_that_is_broken_off_leaves_nothing_to_the_next_training(items, tmp_path):
    half = Train(**{**vars(SMALL), "epochs": 1, "precision": "bf16"})
    trained(items, tmp_path / "before", half)

    def interrupt(*_):
        raise KeyboardInterrupt

    learner, metric = make_learner(items[:9], items[9:], ROAD_SCENE, half, 1)
    learner.model.network.decoder.register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(learner, metric, half, 1, tmp_path / "broken", lambda row, speed: None)
    assert not torch.is_autocast_enabled("cpu")
    trained(items, tmp_path / "after", half)
    before, after = (digest(tmp_path / name / "best.safetensors") for name in ("before", "after"))
    assert before == after


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried …"), RuntimeError("MPS backend out of memory (18 GB).\nMore.")],
)
def test_memory_that_does_not_suffice_is_told(items, tmp_path, error):
    def fail(*_):
        raise error

    learner, metric = make_learner(items[:9], items[9:], ROAD_SCENE, SMALL, 1)
    learner.model.network.decoder.register_forward_hook(fail)
    with pytest.raises(TrainingError, match=r"memory.*smaller --batch-size"):
        fit(learner, metric, SMALL, 1, tmp_path, lambda row, speed: None)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"arch": "deeplabv3plus", "batch_size": 1}, "larger --batch-size"),
        ({"arch": "pan", "image_size": (32, 32)}, "larger --image-size"),
    ],
)
def test_batches_that_are_too_small_for_a_network_are_told(items, tmp_path, settings, text):
    with pytest.raises(TrainingError, match=text):
        trained(items, tmp_path, Train(**{**vars(SMALL), **settings}))


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
    sizes = [(360, 480), (720, 1280)]
    assert canvas_of(sizes, (180, 320)) == (180, 320)
    assert canvas_of(sizes[:1], (180, 320)) == (180, 240)


def test_what_covers_is_undistorted_and_leaves_nothing_bare():
    assert covering((360, 480), (180, 320)) == (240, 320)
    assert covering((720, 1280), (180, 320)) == (180, 320)


def batches_of(items, settings, train):
    if settings.recipe == "course":
        return course_loaders(items[:train], items[train:], ROAD_SCENE, settings, "cpu")
    canvas = Canvas.of(items, settings.image_size, ROAD_SCENE.ignore_index)
    return loaders(Decoded(items, canvas), train, settings, "cpu")


SCALED, AUGMENTED = (Train(**{**vars(SMALL), "augment": augment}) for augment in ("scale", "full"))


@pytest.mark.parametrize("settings", [SMALL, SCALED, AUGMENTED, COURSE], ids=["default", "scale", "full", "course"])
def test_batches_hold_images_and_masks_of_the_same_place(items, settings):
    dls = batches_of(items, settings, 9)
    images, masks = dls.train.one_batch()
    assert images.shape == (4, 3, 64, 96) and masks.shape == (4, 64, 96)
    assert images.min() >= 0 and images.max() <= 1
    assert masks.dtype == (torch.int64 if settings.recipe == "course" else torch.uint8)
    assert set(masks.unique().tolist()) <= {*range(7), 255}


def two_halves(folder):
    """Eight times one picture: its left fifth white, of class 1, the rest black, of class 0."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    mask = np.zeros((64, 96), np.uint8)
    pixels[:, :20], mask[:, :20] = 255, 1
    Image.fromarray(pixels).save(folder / "a.png")
    Image.fromarray(mask).save(folder / "m.png")
    return [Item(folder / "a.png", folder / "m.png", (64, 96))] * 9


def test_a_flip_turns_image_and_mask_alike(tmp_path):
    dls = batches_of(two_halves(tmp_path), SMALL, 8)
    sides = set()
    for _ in range(4):
        images, masks = dls.train.one_batch()
        assert torch.equal((images[:, 0] > 0.5), masks == 1)
        sides |= {bool(one[0, 0]) for one in masks}
    assert sides == {True, False}


def test_scaling_draws_image_and_mask_alike_larger_and_smaller(tmp_path):
    dls = batches_of(two_halves(tmp_path), SCALED, 8)
    widths = set()
    for _ in range(4):
        images, masks = dls.train.one_batch()
        assert ((images[:, 0] > 0.5) != (masks == 1)).float().mean() < 0.02  # the edge alone is rounded apart
        widths |= {int(one[32].sum()) for one in masks == 1}
    assert min(widths) < 20 < max(widths)


def test_validation_shows_each_image_once_unshuffled_and_unchanged(items):
    dls = batches_of(items, SMALL, 4)
    images = torch.cat([batch[0] for batch in dls.valid])
    stored = [np.array(Image.open(item.image).convert("RGB")) for item in items[4:]]
    assert torch.allclose(images, torch.from_numpy(np.stack(stored)).permute(0, 3, 1, 2) / 255)


def test_an_epoch_of_training_shows_each_image_once_in_another_order(items):
    dls = batches_of(items, Train(**{**vars(SMALL), "batch_size": 1, "augment": "none"}), 9)
    first, second = ([float(batch[0].sum()) for batch in dls.train] for _ in range(2))
    assert sorted(first) == sorted(second) and first != second and len(set(first)) == 9


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


def test_cross_entropy_and_dice_are_those_of_the_formulas():
    logits, target = torch.randn(2, 3, 5, 5), torch.randint(0, 3, (2, 5, 5))
    share = logits.softmax(1).movedim(1, -1)
    hot = torch.nn.functional.one_hot(target, 3).float()
    entropy = -(share.log() * hot).sum(-1).mean()
    dice = 1 - 2 * (share * hot).sum((0, 1, 2)) / (share.sum((0, 1, 2)) + hot.sum((0, 1, 2)))
    assert torch.isclose(CrossEntropyDice(255)(logits, target), entropy + dice.mean(), atol=1e-5)


def test_cross_entropy_and_dice_are_those_of_the_libraries():
    from sightline.learning.libraries import models

    logits, target = torch.randn(2, 7, 9, 8, requires_grad=True), torch.randint(0, 5, (2, 9, 8))
    target[0, :3] = 255
    dice = models.losses.DiceLoss("multiclass", from_logits=True, ignore_index=255)
    peer = torch.nn.functional.cross_entropy(logits, target, ignore_index=255) + dice(logits, target)
    ours = CrossEntropyDice(255)(logits, target.byte())
    assert torch.isclose(ours, peer, atol=1e-5)
    gradients = [torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (ours, peer)]
    assert torch.allclose(*gradients, atol=1e-6)


@pytest.mark.parametrize("loss", ["ce+dice", "ce", "ce+lovasz", "focal"])
def test_a_loss_of_nothing_but_ignored_pixels_is_0(loss):
    logits = torch.randn(2, 3, 8, 8, requires_grad=True)
    made = loss_of(Train(loss=loss), 255, [1.0, 2.0, 3.0])(logits, torch.full((2, 8, 8), 255).byte())
    made.backward()
    assert made == 0 and not logits.grad.any()


@pytest.mark.parametrize("loss", ["ce", "ce+lovasz", "focal"])
def test_the_other_losses_leave_ignored_pixels_out_and_have_a_gradient(loss):
    made = loss_of(Train(loss=loss), 255, [1.0, 2.0, 3.0])
    logits, target = torch.randn(2, 3, 8, 8, requires_grad=True), torch.randint(0, 3, (2, 8, 8)).byte()
    target[:, :4] = 255
    made(logits, target).backward()
    assert (logits.grad[:, :, :4] == 0).all() and logits.grad[:, :, 4:].abs().sum() > 0


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


def test_the_course_takes_no_other_architecture(items):
    with pytest.raises(ConfigError, match="--recipe default"):
        make_learner(items[:9], items[9:], ROAD_SCENE, Train(**{**vars(COURSE), "arch": "unet"}), 1)


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
        ({"precision": "fp16", "device": "cpu"}, TrainingError, "bf16 or fp32"),
        ({"encoder": "resnet19"}, ConfigError, "resnet18"),
        ({"device": "mps" if torch.cuda.is_available() else "cuda"}, TrainingError, "There is: .*cpu"),
    ],
)
def test_what_does_not_exist_is_told_with_what_does(items, settings, error, text):
    with pytest.raises(error, match=text):
        make_learner(items[:9], items[9:], ROAD_SCENE, Train(**{**vars(SMALL), **settings}), 1)


def test_auto_takes_the_best_device_there_is():
    assert device_of("auto") in ("cuda", "mps", "cpu")


def test_channels_come_last_but_on_apples_gpus(items, monkeypatch):
    import sightline.learning.data
    import sightline.learning.learner

    for device, last in (("cpu", True), ("cuda", True), ("mps", False)):
        for module in (sightline.learning.data, sightline.learning.learner):
            monkeypatch.setattr(module, "layout_of", lambda _, device=device: layout_of(device))
        learner, _ = make_learner(items[:9], items[9:], ROAD_SCENE, SMALL, 1)
        images, _ = learner.dls.train.one_batch()
        for tensor in (images, learner.model.network.encoder.layer1[0].conv1.weight):
            assert tensor.is_contiguous(memory_format=torch.channels_last) is last
            assert tensor.is_contiguous() is not last


def test_auto_takes_bf16_only_where_the_cpu_computes_with_it(monkeypatch):
    import sightline.learning.device as module

    for has, found in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(module, "_cpu_has_bf16", lambda has=has: has)
        assert precision_of("auto", "cpu") == found
    assert precision_of("fp32", "cpu") == "fp32"


def test_deterministic_algorithms_are_enough_for_the_default(items, tmp_path):
    settings = Train(**{**vars(SMALL), "epochs": 1, "deterministic": True})
    trained(items, tmp_path, settings)
    assert not torch.are_deterministic_algorithms_enabled()


def test_what_has_no_deterministic_algorithm_is_told():
    with (
        pytest.raises(TrainingError, match=r"--deterministic: cumsum does not .* choose another --loss"),
        deterministic(True),
    ):
        raise RuntimeError("cumsum does not have a deterministic implementation.\nMore of it.")
    with pytest.raises(RuntimeError, match="another"), deterministic(True):
        raise RuntimeError("another")


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_training_computes_in_the_precision_that_is_asked_for(items, precision):
    learner, _ = make_learner(items[:9], items[9:], ROAD_SCENE, Train(**{**vars(SMALL), "precision": precision}), 1)
    kinds = set()
    learner.model.network.decoder.register_forward_hook(lambda module, given, made: kinds.add(made.dtype))
    learner.fit(1)
    assert kinds == {torch.bfloat16 if precision == "bf16" else torch.float32}


def test_the_course_is_fp32_as_published(items):
    learner, _ = make_learner(items[:9], items[9:], ROAD_SCENE, COURSE, 1)
    assert learner.precision == "fp32"


def test_an_encoder_with_weights_stands_still_at_first_and_learns_slower_then(items, tmp_path):
    save_weights(build(SMALL, 7, pretrained=False).network.encoder, tmp_path / "encoder.safetensors")
    settings = Train(**{**vars(SMALL), "epochs": 2, "weights": str(tmp_path / "encoder.safetensors")})
    learner, metric = make_learner(items[:9], items[9:], ROAD_SCENE, settings, 1)
    weight = learner.model.network.encoder.conv1.weight
    begun, seen = weight.detach().clone(), []
    fit(learner, metric, settings, 1, tmp_path / "fit", lambda row, speed: seen.append(torch.equal(begun, weight)))
    assert seen == [True, False]
    rates = [group["lr"] for group in learner.opt.hypers]
    assert rates[0] == pytest.approx(rates[1] / 10)


def test_the_finder_suggests_a_rate_and_leaves_the_weights_alone(items, tmp_path):
    learner, _ = make_learner(items[:9], items[9:], ROAD_SCENE, SMALL, 1)
    before = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    suggested, steps = find_lr(learner, tmp_path)
    assert 1e-6 < suggested < 1
    assert len(steps) > 10 and steps[0][0] < steps[-1][0]
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.model.state_dict().items())
    assert not list(tmp_path.rglob("*.pth"))


OFFLINE = """
import sys, socket
def refuse(*args, **kwargs):
    raise OSError("no network in this test")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
import sightline
from sightline.config import Train
from sightline.learning.learner import make_learner
from sightline.learning.pixels import Item
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
    assert "local cache" not in done.stdout, "why, and not what else was tried"
    assert "Retrying" not in done.stderr


def test_the_weights_file_has_to_be_there(tmp_path):
    config = load_config(None, {"data": str(tmp_path), "store": str(tmp_path / "s"), "weights": "nowhere.safetensors"})
    with pytest.raises(sightline.SightlineError):
        sightline.train(config)
