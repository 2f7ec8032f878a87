"""Decoded images kept on the disk: the same pixels as the files', checked, rebuilt when stale, bounded in size."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from sightline.learning.cache import MANIFEST, Canvas, Decoded, Mapped, open_source
from sightline.learning.pixels import Item, fitted, read_image, read_mask
from sightline.sample import make_dataset

BOX = (64, 96)


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    root = make_dataset(tmp_path_factory.mktemp("cache") / "scenes", drives=2, frames=3, size=(90, 160), workers=1)
    return [Item(p, root / "labels" / f"{p.stem}_mask.png", (90, 160)) for p in sorted(root.glob("images/*.jpg"))]


@pytest.fixture
def canvas(items):
    return Canvas.of(items, BOX, 255)


def opened(items, canvas, folder, digest="d", limit=1.0):
    return open_source(items, canvas, folder, digest, limit)


def caches(folder):
    return sorted(place.name for place in folder.iterdir() if place.is_dir())


def test_a_cache_gives_the_pixels_of_the_files(items, canvas, tmp_path):
    kept, anew = opened(items, canvas, tmp_path), Decoded(items, canvas)
    assert isinstance(kept, Mapped) and len(kept) == len(anew) == 6
    for ours, theirs in zip(kept.take([4, 0, 4]), anew.take([4, 0, 4]), strict=True):
        assert np.array_equal(ours, theirs)
    images, masks = kept.take([1])
    assert np.array_equal(images[0], read_image(items[1].image, BOX))
    assert np.array_equal(masks[0], read_mask(items[1].mask, fitted((90, 160), BOX)))


def test_what_is_taken_is_the_callers_own(items, canvas, tmp_path):
    kept = opened(items, canvas, tmp_path)
    images, _ = kept.take([0])
    images[:] = 7
    assert not (kept.take([0])[0] == 7).all()


def test_smaller_images_are_laid_at_the_top_left(tmp_path):
    Image.fromarray(np.full((64, 32, 3), 200, np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.full((64, 32), 3, np.uint8)).save(tmp_path / "m.png")
    item = Item(tmp_path / "a.png", tmp_path / "m.png", (64, 32))
    board = Canvas((64, 96), (64, 96), 255)
    image, mask = board.image(item), board.mask(item)
    assert (image[:, :32] == 200).all() and (image[:, 32:] == 0).all()
    assert (mask[:, :32] == 3).all() and (mask[:, 32:] == 255).all()


def test_resizing_a_mask_makes_up_no_class(tmp_path):
    mask = np.random.default_rng(0).choice(np.array([0, 6, 255], np.uint8), (97, 151))
    Image.fromarray(mask).save(tmp_path / "m.png")
    assert set(np.unique(read_mask(tmp_path / "m.png", (40, 62)))) <= {0, 6, 255}


def test_scaled_decoding_sees_what_plain_decoding_sees(tmp_path):
    ramp = np.linspace(0, 255, 1280).astype(np.uint8)
    Image.fromarray(np.broadcast_to(ramp[None, :, None], (720, 1280, 3)).copy()).save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        plain = np.asarray(image.convert("RGB").resize((320, 180), Image.Resampling.BILINEAR))
    assert np.abs(read_image(tmp_path / "a.jpg", (180, 320)).astype(int) - plain).max() <= 3


def test_a_cache_that_is_there_is_not_made_again(items, canvas, tmp_path, monkeypatch):
    opened(items, canvas, tmp_path)
    monkeypatch.setattr(Canvas, "image", lambda self, item: pytest.fail("decoded again"))
    opened(items, canvas, tmp_path)


@pytest.mark.parametrize(
    "harm",
    [
        lambda place: (place / "images.npy").write_bytes((place / "images.npy").read_bytes()[:-9] + b"\0" * 9),
        lambda place: (place / "masks.npy").unlink(),
        lambda place: (place / MANIFEST).unlink(),
        lambda place: (place / MANIFEST).write_text("[]"),
    ],
    ids=["changed", "missing", "unfinished", "no manifest"],
)
def test_a_damaged_cache_is_made_again(items, canvas, tmp_path, harm):
    whole = opened(items, canvas, tmp_path).take(range(6))
    (name,) = caches(tmp_path)
    harm(tmp_path / name)
    for ours, theirs in zip(opened(items, canvas, tmp_path).take(range(6)), whole, strict=True):
        assert np.array_equal(ours, theirs)
    assert set(json.loads((tmp_path / name / MANIFEST).read_text())) == {"images.npy", "masks.npy"}


def test_another_dataset_or_size_is_another_cache(items, canvas, tmp_path):
    opened(items, canvas, tmp_path)
    opened(items, canvas, tmp_path, digest="other")
    opened(items, Canvas.of(items, (32, 64), 255), tmp_path)
    assert len(caches(tmp_path)) == 3


def test_an_interrupted_build_leaves_nothing_that_counts(items, canvas, tmp_path, monkeypatch):
    def broken(self, item):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Canvas, "mask", broken)
        opened(items, canvas, tmp_path)
    assert caches(tmp_path) == []
    (tmp_path / "partial").mkdir()  # as kill -9 leaves it
    opened(items, canvas, tmp_path)
    assert len(caches(tmp_path)) == 1 and "partial" not in caches(tmp_path)


def test_the_caches_used_longest_ago_make_room(items, canvas, tmp_path):
    import os

    one = 6 * 54 * 96 * 4 / 1e9
    for age, digest in enumerate(["old", "new"]):
        opened(items, canvas, tmp_path, digest, limit=2.5 * one)
        for place in tmp_path.iterdir():
            if place.is_dir():
                os.utime(place / MANIFEST, (1000 + age, 1000 + age)) if digest == "old" else None
    before = caches(tmp_path)
    opened(items, canvas, tmp_path, "newest", limit=2.5 * one)
    after = caches(tmp_path)
    assert len(before) == len(after) == 2 and len(set(before) & set(after)) == 1


def test_a_set_that_is_too_large_is_decoded_each_time_and_that_is_said(items, canvas, tmp_path, capsys):
    source = opened(items, canvas, tmp_path, limit=1e-6)
    assert isinstance(source, Decoded) and caches(tmp_path) == []
    assert "--cache-gb" in capsys.readouterr().err


def test_a_disk_that_is_nearly_full_takes_no_cache_and_that_is_said(items, canvas, tmp_path, monkeypatch, capsys):
    usage = shutil.disk_usage(tmp_path)._replace(free=2**28)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    source = opened(items, canvas, tmp_path)
    assert isinstance(source, Decoded) and caches(tmp_path) == []
    assert "its disk has 0.3 GB left" in capsys.readouterr().err


def test_no_cache_leaves_nothing_on_the_disk(items, canvas):
    assert isinstance(open_source(items, canvas, None, "d", 1.0), Decoded)
