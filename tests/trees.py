"""Small folders in the shape of each preset, for the tests."""

import numpy as np
from PIL import Image

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
STORED = {  # two pixels as stored -> as class indices
    "bdd-simple": ([1, 255], [1, 255]),
    "bdd100k": ([18, 255], [18, 255]),
    "camvid": ([6, 0], [6, 0]),
    "camvid-rgb": ([(0, 128, 192), (0, 0, 0)], [10, 255]),
    "cityscapes": ([33, 3], [18, 255]),
}


def make_tree(root, name):
    for image, mask in TREES[name].items():
        save(root / image, np.full((1, 2, 3), 90, np.uint8))
        save(root / mask, np.array([STORED[name][0]], np.uint8))
    return root


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
