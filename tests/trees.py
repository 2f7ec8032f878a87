"""Small folders in the shape of each preset, for the tests."""

import numpy as np
from PIL import Image

from sightline.layouts import Group

TREES = {
    "bdd-simple": {
        "images/0a1b-11.jpg": "labels/0a1b-11_mask.png",
        "images/0a1b-12.jpg": "labels/0a1b-12_mask.png",
        "images/ffee-07.jpg": "labels/ffee-07_mask.png",
    },
    "bdd100k": {
        "images/10k/train/0004a4c0-d4dff0ad.jpg": "labels/sem_seg/masks/train/0004a4c0-d4dff0ad.png",
        "images/10k/train/a91b7555-00000590.jpg": "labels/sem_seg/masks/train/a91b7555-00000590.png",
        "images/10k/val/7d06fefd-f7be05a6.jpg": "labels/sem_seg/masks/val/7d06fefd-f7be05a6.png",
    },
    "camvid": {
        "images/0001TP_006690.jpg": "labels/0001TP_006690_mask.png",
        "images/0001TP_007020.jpg": "labels/0001TP_007020_mask.png",
        "images/0006R0_f00930.jpg": "labels/0006R0_f00930_mask.png",
    },
    "camvid-rgb": {
        "701_StillsRaw_full/0016E5_08640.png": "LabeledApproved_full/0016E5_08640_L.png",
        "701_StillsRaw_full/Seq05VD_f00000.png": "LabeledApproved_full/Seq05VD_f00000_L.png",
    },
    "cityscapes": {
        f"leftImg8bit/{split}/{city}/{city}_000000_000019_leftImg8bit.png": (
            f"gtFine/{split}/{city}/{city}_000000_000019_gtFine_labelIds.png"
        )
        for split, city in (("train", "aachen"), ("train", "ulm"), ("val", "lindau"))
    },
}
GROUPS = {
    "bdd-simple": [Group("0a1b", "0a1b", 0), Group("0a1b", "0a1b", 0), Group("ffee", "ffee", 0)],
    "bdd100k": [Group(name, name, 0) for name in ("0004a4c0", "7d06fefd", "a91b7555")],
    "camvid": [
        Group("0001TP_006", "0001TP", 6690),
        Group("0001TP_007", "0001TP", 7020),
        Group("0006R0_f00", "0006R0", 930),
    ],
    "camvid-rgb": [Group("0016E5_08", "0016E5", 8640), Group("Seq05VD_f00", "Seq05VD", 0)],
    "cityscapes": [Group(city, city, 0) for city in ("aachen", "lindau", "ulm")],
}
PUBLISHED = {
    "bdd-simple": [None] * 3,
    "bdd100k": ["train", "valid", "train"],
    "camvid": [None] * 3,
    "camvid-rgb": [None] * 2,
    "cityscapes": ["train", "valid", "train"],
}
STORED = {  # two pixels as stored -> as class indices
    "bdd-simple": ([1, 255], [1, 255]),
    "bdd100k": ([18, 255], [18, 255]),
    "camvid": ([6, 0], [6, 0]),
    "camvid-rgb": ([(0, 128, 192), (0, 0, 0)], [10, 255]),
    "cityscapes": ([33, 3], [18, 255]),
}


def make_tree(root, name):
    for number, (image, mask) in enumerate(TREES[name].items()):
        save(root / image, np.full((1, 2, 3), 90 + 40 * number, np.uint8))
        save(root / mask, np.array([STORED[name][0]], np.uint8))
    return root


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
