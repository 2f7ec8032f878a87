"""The class maps of public datasets: CamVid's 11 classes, the 19 train ids of Cityscapes and BDD100K."""

from __future__ import annotations

from sightline.classes import IGNORE, ClassMap

_CITYSCAPES = (  # name, the dataset's own colour, label id; the position is the train id
    ("road", "#804080", 7),
    ("sidewalk", "#f423e8", 8),
    ("building", "#464646", 11),
    ("wall", "#66669c", 12),
    ("fence", "#be9999", 13),
    ("pole", "#999999", 17),
    ("traffic light", "#faaa1e", 19),
    ("traffic sign", "#dcdc00", 20),
    ("vegetation", "#6b8e23", 21),
    ("terrain", "#98fb98", 22),
    ("sky", "#4682b4", 23),
    ("person", "#dc143c", 24),
    ("rider", "#ff0000", 25),
    ("car", "#00008e", 26),
    ("truck", "#000046", 27),
    ("bus", "#003c64", 28),
    ("train", "#005064", 31),
    ("motorcycle", "#0000e6", 32),
    ("bicycle", "#770b20", 33),
)
_LABEL_IDS = (*range(34), 255)  # 255 is the licence plate's -1 in an 8-bit mask

_CAMVID = (  # name, the dataset's own colour, the colours of the original release that it takes in
    ("sky", "#808080", {"Sky": "#808080"}),
    (
        "building",
        "#800000",
        {"Building": "#800000", "Wall": "#40c000", "Bridge": "#008040", "Tunnel": "#400040", "Archway": "#c00080"},
    ),
    ("pole", "#c0c080", {"Column_Pole": "#c0c080", "TrafficCone": "#000040"}),
    ("road", "#804080", {"Road": "#804080", "LaneMkgsDriv": "#8000c0", "LaneMkgsNonDriv": "#c00040"}),
    ("pavement", "#0000c0", {"Sidewalk": "#0000c0", "ParkingBlock": "#40c080", "RoadShoulder": "#8080c0"}),
    ("tree", "#808000", {"Tree": "#808000", "VegetationMisc": "#c0c000"}),
    ("sign symbol", "#c08080", {"SignSymbol": "#c08080", "Misc_Text": "#808040", "TrafficLight": "#004040"}),
    ("fence", "#404080", {"Fence": "#404080"}),
    (
        "car",
        "#400080",
        {
            "Car": "#400080",
            "SUVPickupTruck": "#4080c0",
            "Truck_Bus": "#c080c0",
            "Train": "#c04080",
            "OtherMoving": "#804040",
        },
    ),
    (
        "pedestrian",
        "#404000",
        {"Pedestrian": "#404000", "Child": "#c08040", "CartLuggagePram": "#4000c0", "Animal": "#408040"},
    ),
    ("bicyclist", "#0080c0", {"Bicyclist": "#0080c0", "MotorcycleScooter": "#c000c0"}),
)
_CAMVID_VOID = "#000000"

CITYSCAPES = ClassMap(
    names=tuple(name for name, _, _ in _CITYSCAPES),
    colors=tuple(color for _, color, _ in _CITYSCAPES),
)
"""The 19 train ids, for masks that hold them already (BDD100K)."""

CITYSCAPES_LABEL_IDS = ClassMap(
    names=CITYSCAPES.names,
    colors=CITYSCAPES.colors,
    raw_values=dict.fromkeys(_LABEL_IDS, IGNORE) | {raw: index for index, (_, _, raw) in enumerate(_CITYSCAPES)},
)
"""The same classes, for masks that hold label ids 0 to 33; the 15 others and the licence plate are ignored."""

CAMVID = ClassMap(
    names=tuple(name for name, _, _ in _CAMVID),
    colors=tuple(color for _, color, _ in _CAMVID),
    raw_colors={_CAMVID_VOID: IGNORE}
    | {color: index for index, (_, _, members) in enumerate(_CAMVID) for color in members.values()},
)
"""The 11 classes of the SegNet split, from the 32 colours of the original release; Void is ignored."""
