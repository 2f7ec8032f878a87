"""What every test runs under."""

import shutil
import signal
from dataclasses import replace

import pytest
from browser import chromium, narrow, page, site, walked  # noqa: F401 - fixtures of the tests in a browser
from hypothesis import settings

# No deadline: the machines that run the tests are busy, and the first call of a library in a process is slow.
settings.register_profile("sightline", deadline=None, max_examples=60)
settings.load_profile("sightline")

# A shell starts what it runs in the background deaf to Ctrl-C, and children inherit that: the tests send it to theirs.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONG = ("readme", "pipeline", "distributed", "sweep", "docs_artifacts", "encoders", "recipe", "train_command")
"""Files of few tests that take a minute or more: begun last, one of them would keep a single core busy at the end."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONG)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Every server that a test talks to is one of its own, on this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def one_thread():
    """torch computes in one thread: images as small as those of the tests are no work for several."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """(configuration, folder): a walk up to a model of one epoch, `scenes_model:v0`, also as `new/model.onnx`, and what
    its export came to. Tests leave the store as it is, or force what they do again."""
    import torch

    import sightline
    from sightline.config import load_config
    from sightline.sample import make_dataset

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("trained")
    data = make_dataset(folder / "scenes", drives=6, frames=2, size=(96, 160), workers=1)
    small = {"pretrained": False, "epochs": 1, "image_size": [64, 96], "batch_size": 4, "folds": 3, "resamples": 100}
    config = load_config(
        None, {**small, "workers": 1, "stratify": [], "data": str(data), "store": str(folder / "store")}
    )
    sightline.ingest(config)
    sightline.split(config)
    sightline.train(config)
    return config, folder, sightline.export_onnx(config, folder / "new" / "model.onnx", model="scenes_model:v0")


@pytest.fixture(scope="session")
def evaluated(trained, tmp_path_factory):
    """(configuration, evaluation on valid) in a copy of the store of `trained`, which has none."""
    import sightline

    store = tmp_path_factory.mktemp("evaluated") / "store"
    config = replace(trained[0], store=str(shutil.copytree(trained[0].store, store)))
    return config, sightline.evaluate(config)
