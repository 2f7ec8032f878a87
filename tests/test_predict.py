"""Predict: what is found, what is written, what a rerun does, and what is refused. With an ONNX file and no torch."""

import io
import json
import subprocess
import sys

import av
import numpy as np
import onnx
import pytest
import torch
from pages import DATA_FORMAT, code, firsts, rows, section
from PIL import Image
from test_imports import COMMAND, LEARNING, loaded

import sightline
from sightline.classes import ROAD_SCENE, ClassMap
from sightline.config import load_config
from sightline.errors import ConfigError, DataError, TrainingError
from sightline.learning.pixels import covering, fitted
from sightline.learning.trained import as_bytes, batch_limit, seen_size
from sightline.masks import overlay
from sightline.prediction.batches import Shot, batches
from sightline.prediction.folder import Folder, schema
from sightline.prediction.models import Model, open_model
from sightline.prediction.sources import find
from sightline.prediction.video import frames
from sightline.problems import PairError
from sightline.table import Table


@pytest.fixture(scope="module")
def images(tmp_path_factory, trained):
    """Images of three sizes, two of them of one name in two folders."""
    folder = tmp_path_factory.mktemp("photos")
    for number, path in enumerate(sorted((trained[1] / "scenes/images").iterdir())[:5]):
        name = ("a.jpg", "b.jpg", "c.png", "night/a.jpg", "night/d.jpg")[number]
        (folder / name).parent.mkdir(exist_ok=True)
        Image.open(path).resize([(160, 96), (128, 96), (77, 121)][number % 3]).save(folder / name)
    return folder


@pytest.fixture(params=["artifact", "onnx"])
def model(request, trained):
    return "scenes_model:v0" if request.param == "artifact" else trained[2].path


def test_masks_overlays_confidence_and_table_of_every_image(trained, images, model, tmp_path):
    table = sightline.predict(trained[0], [images], model=model, out=tmp_path / "out", confidence=True)
    rows = table.rows()
    assert [row["File_Name"] for row in rows] == ["a.jpg", "b.jpg", "c.png", "night/a.jpg", "night/d.jpg"]
    for row in rows:
        picture = np.array(Image.open(images / row["File_Name"]))
        with Image.open(tmp_path / "out" / row["Prediction"]) as stored:
            assert (stored.format, stored.mode) == ("PNG", "L")
            labels = np.array(stored)
        assert labels.shape == picture.shape[:2] == (row["Height"], row["Width"])
        assert labels.max() < 7
        counts = np.bincount(labels.ravel(), minlength=7)
        assert [row[f"{name}_share"] for name in ROAD_SCENE.names] == pytest.approx(list(counts / labels.size))
        assert [row[name] for name in ROAD_SCENE.names] == list(counts > 0)
        shown = np.array(Image.open(tmp_path / "out" / row["Overlay"])).astype(int)
        assert np.abs(shown - overlay(picture, labels, ROAD_SCENE)).mean() < 6  # JPEG
        sure = np.array(Image.open(tmp_path / "out" / row["Confidence"]))
        assert sure.dtype == np.uint8 and sure.shape == labels.shape
        assert sure.min() >= 255 // 7  # the highest of seven probabilities
        assert row["mean_confidence"] == pytest.approx(sure.mean() / 255, abs=0.02)
        assert (tmp_path / "out" / row["Image"]).resolve() == (images / row["File_Name"]).resolve()
    assert ClassMap.read(tmp_path / "out/classes.json") == ROAD_SCENE
    stored = Table.read(tmp_path / "out/predictions.parquet")
    assert stored.rows() == rows and stored.classes == ROAD_SCENE


def test_masks_are_those_that_evaluate_keeps(trained, evaluated, tmp_path):
    _, evaluation = evaluated
    names = [row["File_Name"] for row in evaluation.table("pred_table.parquet").rows()]
    files = [trained[1] / "scenes/images" / name for name in names]
    sightline.predict(trained[0], files, out=tmp_path / "out", batch_size=1, overlays=False)
    for path in evaluation.files:
        if path.startswith("predictions/"):
            ours = tmp_path / "out/masks" / path.removeprefix("predictions/")
            assert np.array_equal(np.array(Image.open(ours)), np.array(Image.open(evaluation.path(path))))
    assert not (tmp_path / "out/overlays").exists()


@pytest.mark.parametrize("size", [(1, 1), (50, 31), (64, 96), (65, 97), (300, 451)])
def test_onnx_enlarges_as_torch_does(trained, size):
    ours = open_model(trained[0], None, "scenes_model:v0").network
    theirs = open_model(trained[0], None, trained[2].path).network
    pixels = np.random.default_rng(0).integers(0, 256, (3, 54, 96, 3), np.uint8)
    one, other = ours.predict(pixels, size), theirs.predict(pixels, size)
    assert one.labels.shape == other.labels.shape == (3, *size)
    assert (one.labels == other.labels).mean() > 0.999
    assert np.abs(one.confidence - other.confidence).max() < 1e-4
    assert one.mean_confidence == pytest.approx(other.mean_confidence, abs=1e-5)
    assert theirs.predict(pixels, size, False).confidence is None


def test_confidence_is_the_highest_softmax_probability(trained):
    network = open_model(trained[0], None, "scenes_model:v0").network
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    best = network.logits(pixels).softmax(1).max(1)
    found = network.predict(pixels, (64, 96))
    assert np.array_equal(found.labels, best.indices.numpy())
    assert np.allclose(found.confidence, best.values.numpy(), atol=1e-6)
    assert found.mean_confidence == pytest.approx([best.values.mean().item()], abs=1e-6)
    assert as_bytes(np.array([0, 0.5, 1], np.float32)).tolist() == [0, 128, 255]


def test_the_recipe_decides_at_which_scale_an_image_is_seen():
    assert seen_size((720, 1280), (180, 320), "default") == fitted((720, 1280), (180, 320)) == (180, 320)
    assert seen_size((720, 960), (180, 320), "course") == covering((720, 960), (180, 320)) == (240, 320)


def test_large_images_go_alone():
    assert batch_limit(7, (720, 1280), 8) == 8
    assert batch_limit(19, (4000, 6000), 8) == 1
    shots = [
        Shot(None, (), str(n), str(n), size, None, None) for n, size in enumerate([(1, 2), (3, 4), (1, 2), (1, 2)])
    ]
    assert [[shot.name for shot in batch] for batch in batches(shots, lambda size: 2)] == [["0", "2"], ["1"], ["3"]]


def test_a_rerun_does_only_what_is_new_or_changed(trained, images, tmp_path, capsys):
    model, out = trained[2].path, tmp_path / "out"
    one = images / "a.jpg"

    def again(*inputs, **options):
        before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} if out.exists() else {}
        table = sightline.predict(trained[0], inputs or [images], model=model, out=out, **options)
        after = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
        written = {path.relative_to(out / "masks").as_posix() for path in after if before.get(path) != after[path]}
        return written, table

    assert again(one, overlays=False)[0] == {"a.png"}
    assert again(overlays=False)[0] == {"b.png", "c.png", "night/a.png", "night/d.png"}
    assert "1 of 5 are there already" in capsys.readouterr().err
    written, table = again(overlays=False)
    assert (written, len(table)) == (set(), 5)
    assert again(one)[0] == {"a.png"}  # an overlay is wanted now
    assert again(one, opacity=0.3)[0] == {"a.png"}
    (out / "masks/b.png").unlink()
    assert again(overlays=False)[0] == {"b.png"}
    one.touch()
    assert again(overlays=False)[0] == {"a.png"}
    assert len(again(one, force=True)[1]) == 5
    (out / "predictions.jsonl").write_text((out / "predictions.jsonl").read_text() + '[{"File_Na')  # killed there
    assert again(overlays=False)[0] == set()


def test_what_ctrl_c_leaves_is_whole_and_gone_on_with(trained, images, tmp_path, monkeypatch):
    model, out = trained[2].path, tmp_path / "out"
    keep, count = Folder.keep, iter(range(9))

    def interrupted(self, *arguments):
        if next(count) == 2:
            raise KeyboardInterrupt
        keep(self, *arguments)

    monkeypatch.setattr(Folder, "keep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sightline.predict(trained[0], [images], model=model, out=out, batch_size=1)
    monkeypatch.undo()
    assert not list(out.rglob("*.tmp")) and not (out / "predictions.parquet").exists()
    for path in out.rglob("*.png"):
        Image.open(path).load()
    noted = (out / "predictions.jsonl").read_text().splitlines()[1:]
    assert len(noted) == 2
    before = {(out / json.loads(line)[0]["Prediction"]).stat().st_mtime_ns for line in noted}
    table = sightline.predict(trained[0], [images], model=model, out=out)
    after = {(out / json.loads(line)[0]["Prediction"]).stat().st_mtime_ns for line in noted}
    assert len(table) == 5 and before == after


def test_predictions_of_another_model_are_replaced_only_by_force(trained, images, tmp_path):
    out = tmp_path / "out"
    sightline.predict(trained[0], [images], model="scenes_model:v0", out=out)
    onnx = trained[2].path
    with pytest.raises(ConfigError, match=r"another model \(scenes_model:v0, not model.onnx\).*--force"):
        sightline.predict(trained[0], [images], model=onnx, out=out)
    table = sightline.predict(trained[0], [images / "night"], model=onnx, out=out, force=True)
    assert [row["File_Name"] for row in table.rows()] == ["a.jpg", "d.jpg"]
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.png")} == {"masks/a.png", "masks/d.png"}


def test_other_images_of_the_same_name_and_other_files_are_not_overwritten(trained, images, tmp_path):
    model = trained[2].path
    sightline.predict(trained[0], [images / "a.jpg"], model=model, out=tmp_path / "out")
    with pytest.raises(ConfigError, match=r"other images under 1 of these 2 names \(first: a.jpg\)"):
        sightline.predict(trained[0], [images / "night"], model=model, out=tmp_path / "out")
    (tmp_path / "mine/masks").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"holds masks that `sightline predict` did not write"):
        sightline.predict(trained[0], [images], model=model, out=tmp_path / "mine")
    assert list((tmp_path / "mine").rglob("*")) == [tmp_path / "mine/masks"]


def test_names_of_outputs_are_distinct_and_stay_inside(tmp_path):
    for name in ("x/a.jpg", "x/a.png", "x/b.jpg", "y/b.JPG", ".hidden/c.jpg", "x/.d.jpg", "x/note.txt", "x/old/e.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    (tmp_path / "x/old/predictions.jsonl").touch()
    (tmp_path / "x/b.mp4").touch()
    stems = {source.name: source.stem for source in find([tmp_path])}
    assert stems == {"x/a.jpg": "x/a.jpg", "x/a.png": "x/a.png", "x/b.jpg": "x/b", "y/b.JPG": "y/b"}
    assert [source.stem for source in find([tmp_path / "x/b.jpg", tmp_path / "x/../y/b.JPG"])] == ["x/b", "y/b"]
    both = find([tmp_path / "x/b.jpg", tmp_path / "x/b.mp4", tmp_path / "x/b.jpg"])
    assert [source.stem for source in both] == ["b.jpg", "b.mp4"]
    with pytest.raises(DataError, match="1 of 2 inputs are not there"):
        find([tmp_path, tmp_path / "nothing.jpg"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image in"):
        find([tmp_path / "empty"])


def damaged(images, folder):
    """Two sound images and four that are not: two can be told by their headers."""
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes((images / name).read_bytes())
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no image")
    turned = Image.open(images / "a.jpg")
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "turned.jpg", exif=exif)
    (folder / "cut.jpg").write_bytes((images / "a.jpg").read_bytes()[:1500])
    return folder


def test_what_is_damaged_is_told_before_anything_is_written(trained, images, tmp_path):
    folder = damaged(images, tmp_path / "in")
    with pytest.raises(DataError) as caught:
        sightline.predict(trained[0], [folder], model=trained[2].path, out=tmp_path / "out")
    for said in ("3 problems of 3 kinds in 6 images", "empty.jpg", "text.png", "turned.jpg", "--on-error skip"):
        assert said in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_what_shows_only_when_decoded_is_told_after_the_others_are_predicted(trained, images, tmp_path, capsys):
    folder, model = damaged(images, tmp_path / "in"), trained[2].path
    for name in ("empty.jpg", "text.png", "turned.jpg"):
        (folder / name).unlink()
    with pytest.raises(DataError, match=r"(?s)1 file is cut off.*cut.jpg.*All others are predicted"):
        sightline.predict(trained[0], [folder], model=model, out=tmp_path / "out")
    assert len(Table.read(tmp_path / "out/predictions.parquet")) == 2
    skip = load_config(None, {"on_error": "skip"})
    table = sightline.predict(skip, [damaged(images, tmp_path / "all")], model=model, out=tmp_path / "other")
    assert [row["File_Name"] for row in table.rows()] == ["a.jpg", "b.jpg"]
    assert "4 problems of 4 kinds in 6 images" in capsys.readouterr().err


@pytest.fixture(scope="module")
def video(tmp_path_factory, trained):
    """Twelve frames at ten a second, 120×80."""
    path = tmp_path_factory.mktemp("video") / "drive.mp4"
    pictures = sorted((trained[1] / "scenes/images").iterdir())
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 120, 80, "yuv420p"
        for picture in pictures:
            pixels = np.array(Image.open(picture).resize((120, 80)))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_frames_of_a_video(trained, video, tmp_path):
    model, out = trained[2].path, tmp_path / "out"
    table = sightline.predict(trained[0], [video], model=model, out=out, every=5)
    told = [(row["File_Name"], row["Frame"], row["Seconds"]) for row in table.rows()]
    assert told == [("drive.mp4/000000", 0, 0.0), ("drive.mp4/000005", 5, 0.5), ("drive.mp4/000010", 10, 1.0)]
    with Image.open(out / "masks/drive/000005.png") as mask, Image.open(out / "overlays/drive/000005.jpg") as shown:
        assert mask.size == shown.size == (120, 80)
    assert len(sightline.predict(trained[0], [video], model=model, out=out, every=4)) == 5  # 0 and 5 and 10; 4 and 8
    pixels = [frame.pixels for frame in frames(video, "drive.mp4")]
    source = np.array(Image.open(sorted((trained[1] / "scenes/images").iterdir())[3]).resize((120, 80))).astype(int)
    assert len(pixels) == 12 and np.abs(pixels[3] - source).mean() < 20


def test_a_video_that_is_none_or_lists_other_files_is_told(trained, video, images, tmp_path):
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile '{video}'\n")
    (tmp_path / "net.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://localhost:9/x.ts\n")
    (tmp_path / "text.mp4").write_text("no video")
    for name in ("list.mp4", "net.mp4", "text.mp4"):
        with pytest.raises(PairError, match="cannot be decoded"):
            list(frames(tmp_path / name, name))
    with pytest.raises(DataError, match=r"(?s)text.mp4: cannot be decoded.*All others are predicted"):
        sightline.predict(trained[0], [tmp_path / "text.mp4", images], model=trained[2].path, out=tmp_path / "o")
    assert len(Table.read(tmp_path / "o/predictions.parquet")) == 5


def test_settings_out_of_range_and_classes_called_like_columns(trained, images, tmp_path):
    for wrong in ({"opacity": 1.5}, {"batch_size": 0}, {"every": 0}):
        with pytest.raises(ConfigError, match="--"):
            sightline.predict(trained[0], [images], out=tmp_path, **wrong)
    with pytest.raises(ConfigError, match="'overlay' is called like a column"):
        schema(ClassMap(("road", "overlay")))
    with pytest.raises(ConfigError, match="is a file"):
        (tmp_path / "file").touch()
        network = open_model(trained[0], None, trained[2].path).network
        Folder(tmp_path / "file", Model(network, "m", "0"), False)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_that_onnxruntime_cannot_start_is_told(trained, monkeypatch):
    import onnxruntime

    there = onnxruntime.get_available_providers()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CoreMLExecutionProvider", *there])
    with pytest.raises(TrainingError, match="cannot start it"):
        open_model(load_config(None, {"device": "mps"}), None, trained[2].path)


def test_an_onnx_file_of_someone_else_is_told(trained, tmp_path):
    from onnx import TensorProto, helper

    with pytest.raises(TrainingError, match=r"no file .*nothing.onnx"):
        open_model(trained[0], None, tmp_path / "nothing.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(TrainingError, match="cannot be loaded"):
        open_model(trained[0], None, tmp_path / "text.onnx")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])])  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(TrainingError, match="no model of `sightline export`"):
        open_model(trained[0], None, tmp_path / "other.onnx")
    if not torch.cuda.is_available():
        cuda = load_config(None, {"device": "cuda"})
        with pytest.raises(TrainingError, match="--device cuda"):
            open_model(cuda, None, trained[2].path)


def test_the_command_with_an_onnx_file_loads_neither_torch_nor_fastai(trained, images, video, tmp_path):
    arguments = ["predict", str(images), str(video), "--every", "6", "--model", str(trained[2].path)]
    modules, said = loaded(COMMAND, *arguments, folder=tmp_path)
    assert not modules & LEARNING
    assert {"onnxruntime", "av"} <= modules
    assert said.rstrip().endswith("predictions") and "7 images" in said
    assert (tmp_path / "predictions/masks").is_dir()


def test_the_command_says_what_is_wrong_and_ends_with_its_code(trained, tmp_path):
    command = [sys.executable, "-m", "sightline", "predict", "nothing.jpg"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "nothing.jpg" in done.stderr and "Traceback" not in done.stderr


def test_images_of_other_kinds(trained, tmp_path):
    (tmp_path / "in").mkdir()
    grey = Image.fromarray(np.arange(64 * 96, dtype=np.uint32).reshape(64, 96).astype(np.uint8))
    grey.save(tmp_path / "in/grey.jpg")
    grey.convert("P").save(tmp_path / "in/palette.png")
    grey.convert("RGB").save(tmp_path / "in/picture.WEBP")
    clear = io.BytesIO()
    grey.convert("RGBA").save(clear, "PNG")
    (tmp_path / "in/opaque.png").write_bytes(clear.getvalue())
    table = sightline.predict(trained[0], [tmp_path / "in"], model=trained[2].path, out=tmp_path / "out")
    assert len(table) == 4


def test_the_docs_name_every_column_file_and_key(trained, images, tmp_path):
    table = sightline.predict(trained[0], [images / "a.jpg"], model=trained[2].path, out=tmp_path, confidence=True)
    documented = [
        (name, row[1]) for row in rows(section(DATA_FORMAT, "`predictions.parquet`")) for name in code(row[0])
    ]
    told = [(name.replace("road", "{class}"), str(table.data.schema.field(name).type)) for name in table.columns]
    assert documented == [column for column in told if not column[0].startswith(_others(table))]
    there = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert {name.partition("/")[0] for name in firsts(DATA_FORMAT, "Predictions")} == there
    meta = {prop.key for prop in onnx.load(trained[2].path).metadata_props}
    named = set(firsts(DATA_FORMAT, "The ONNX file"))
    assert named == meta | {"images", "size", "sure", "labels", "confidence", "logits"}


def _others(table):
    return tuple(name for name in table.classes.names if name != "road")
