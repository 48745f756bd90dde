# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Writes the public sets in their published layouts, tiny: pictures of 64 x 48, two or three annotations each."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from llavaseg_ros.images import write_rgb

H, W = 48, 64

# A rectangle as a polygon, the same as a mask, and a second one.
CUP = [10, 8, 30, 8, 30, 20, 10, 20]
PLATE = [40, 30, 60, 30, 60, 44, 40, 44]
CATEGORIES = [
    {"supercategory": "kitchen", "id": 47, "name": "cup"},
    {"supercategory": "person", "id": 1, "name": "person"},
]


def box(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    """A mask with ones in columns x0 to x1 - 1 and rows y0 to y1 - 1."""
    mask = np.zeros((H, W), bool)
    mask[y0:y1, x0:x1] = True
    return mask


CUP_MASK, PLATE_MASK = box(10, 8, 30, 20), box(40, 30, 60, 44)


def picture(path: Path, height: int = H, width: int = W) -> None:
    """A gray picture; ReasonSeg's and COCO's are JPEG."""
    write_rgb(path, np.full((height, width, 3), 120, np.uint8))


def runs(mask: np.ndarray) -> list[int]:
    """Plain RLE counts of a mask, column by column, background first."""
    flat = mask.T.reshape(-1).astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *counts] if flat[0] else counts


def packed(counts: list[int]) -> str:
    """Plain RLE counts in COCO's packed text, written from the format's description."""
    text = ""
    for i, count in enumerate(counts):
        x = count - counts[i - 2] if i > 2 else count
        while True:
            bits, x = x & 31, x >> 5
            last = x == (-1 if bits & 16 else 0)
            text += chr(48 + bits + (0 if last else 32))
            if last:
                break
    return text


def plain_rle(mask: np.ndarray) -> dict[str, Any]:
    """As COCO's crowds."""
    return {"size": [H, W], "counts": runs(mask)}


def packed_rle(mask: np.ndarray) -> dict[str, Any]:
    """As PACO's and Pascal-Part's annotations."""
    return {"size": [H, W], "counts": packed(runs(mask))}


def write_json(path: Path, value: Any) -> None:
    """As the sets do: one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def annotation(number: int, image: int, shape: Any, category: int = 47, crowd: int = 0) -> dict[str, Any]:
    """One record of "annotations"."""
    return {
        "segmentation": shape,
        "area": 240.0,
        "iscrowd": crowd,
        "image_id": image,
        "bbox": [10.0, 8.0, 20.0, 12.0],
        "category_id": category,
        "id": number,
    }


def image(number: int, name: str) -> dict[str, Any]:
    """One record of "images"."""
    return {
        "license": 1,
        "file_name": name,
        "coco_url": f"http://mscoco.org/images/{number}",
        "height": H,
        "width": W,
        "date_captured": "2013-11-15 02:41:42",
        "id": number,
    }


def coco_name(number: int) -> str:
    """Of a picture in train2014."""
    return f"COCO_train2014_{number:012d}.jpg"


def instances() -> dict[str, Any]:
    """instances.json: two pictures; a polygon, a crowd in plain runs, a polygon in two parts, a packed RLE."""
    return {
        "info": {"description": "This is dev 1.0 version of the 2014 MS COCO dataset."},
        "licenses": [],
        "images": [image(n, coco_name(n)) for n in (9, 25)],
        "annotations": [
            annotation(101, 9, [CUP]),
            annotation(102, 9, plain_rle(PLATE_MASK), 1),
            annotation(103, 25, [CUP, PLATE]),
            annotation(104, 25, packed_rle(CUP_MASK), 1),
            annotation(105, 25, plain_rle(PLATE_MASK), 1, crowd=1),
        ],
        "categories": CATEGORIES,
    }


def sentence(number: int, text: str) -> dict[str, Any]:
    """One of a ref's sentences."""
    return {"tokens": text.split(), "raw": text.capitalize(), "sent_id": number, "sent": text}


def ref(
    number: int, image_id: int, ann_id: Any, split: str, texts: dict[int, str], category: Any = 47
) -> dict[str, Any]:
    """One ref, its keys as in refs(unc).p."""
    return {
        "sent_ids": list(texts),
        "file_name": f"COCO_train2014_{image_id:012d}_{number}.jpg",
        "ann_id": ann_id,
        "ref_id": number,
        "image_id": image_id,
        "split": split,
        "sentences": [sentence(key, text) for key, text in texts.items()],
        "category_id": category,
    }


def refs() -> list[dict[str, Any]]:
    """Four refs in four splits."""
    return [
        ref(1, 9, 101, "train", {11: "the red cup", 12: "cup on the left"}),
        ref(2, 9, 102, "val", {21: "man in white"}, 1),
        ref(3, 25, 103, "testA", {31: "both parts of it"}),
        ref(4, 25, 104, "testB", {41: "lady with a hat"}, 1),
    ]


def write_refcoco(root: Path, folder: str = "refcoco", split_by: str = "unc", protocol: int = 0) -> None:
    """One of the refer family. Published files are of Python 2's protocols, 0 or 2."""
    write_json(root / folder / "instances.json", instances())
    (root / folder / f"refs({split_by}).p").write_bytes(pickle.dumps(refs(), protocol))
    for number in (9, 25):
        picture(root / "images/mscoco/images/train2014" / coco_name(number))


def grefs() -> list[dict[str, Any]]:
    """grefs(unc).json: one target, two targets, two targets of which one is a crowd, none."""
    return [
        ref(1, 9, [101], "train", {11: "the red cup"}, [47]) | {"no_target": False},
        ref(2, 9, [101, 102], "val", {21: "the cup and the man"}, [47, 1]) | {"no_target": False},
        ref(3, 9, [-1], "val", {31: "the green bottle", 32: "a dog"}, [-1]) | {"no_target": True},
        ref(4, 25, [104, 105], "testA", {41: "everybody"}, [1, 1]) | {"no_target": False},
    ]


def write_grefcoco(root: Path) -> None:
    """gRefCOCO, with the pictures where ReLA has them."""
    write_json(root / "grefcoco/instances.json", instances())
    write_json(root / "grefcoco/grefs(unc).json", grefs())
    for number in (9, 25):
        picture(root / "images/train2014" / coco_name(number))


def shape(label: str, points: list[list[float]]) -> dict[str, Any]:
    """One of LabelMe's shapes."""
    return {
        "label": label,
        "labels": [label],
        "shape_type": "polygon",
        "image_name": "",
        "points": points,
        "group_id": None,
    }


def corners(x0: int, y0: int, x1: int, y1: int) -> list[list[float]]:
    """A rectangle whose border pixels belong to it."""
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def reasonseg_json(texts: list[str], sentence: bool, shapes: list[dict[str, Any]]) -> dict[str, Any]:
    """One of ReasonSeg's annotations."""
    return {"text": texts, "is_sentence": sentence, "shapes": shapes}


def write_reasonseg(root: Path) -> None:
    """ReasonSeg: two training pictures, one of val, a short and a long query of test."""
    target, hole = shape("target", corners(10, 8, 29, 19)), shape("ignore", corners(15, 10, 20, 15))
    flag = shape("flag", corners(0, 0, 63, 47))
    for split, name, texts, long, shapes in (
        ("train", "11_o", ["what holds coffee?", "Where would one pour coffee?"], True, [target, hole, flag]),
        ("train", "12_o", ["the thing to drink from"], False, [target]),
        ("val", "21_o", ["what holds coffee?", "not asked in val"], True, [target, hole]),
        ("test", "31_o", ["the vessel"], False, [target]),
        ("test", "32_o", ["Which of them would one drink from?"], True, [hole, target]),
    ):
        picture(root / split / f"{name}.jpg")
        write_json(root / split / f"{name}.json", reasonseg_json(texts, long, shapes))


def write_map(path: Path, values: np.ndarray) -> None:
    """A label map: one channel of 8 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(".png", values.astype(np.uint8))
    assert done
    path.write_bytes(data.tobytes())


def ade_map() -> np.ndarray:
    """0 = other objects, 2 = building, 4 = floor."""
    values = np.zeros((H, W), np.uint8)
    values[CUP_MASK], values[PLATE_MASK] = 2, 4
    return values


def write_ade20k(root: Path) -> None:
    """ADEChallengeData2016 with the head of its objectInfo150.txt."""
    (root / "ADEChallengeData2016").mkdir(parents=True)
    names = ["wall", "building, edifice", "sky", "floor, flooring", "tree"]
    rows = ["Idx\tRatio\tTrain\tVal\tName"] + [f"{i}\t0.1576\t11664\t1172\t{name} " for i, name in enumerate(names, 1)]
    (root / "ADEChallengeData2016/objectInfo150.txt").write_text("\n".join(rows) + "\n")
    for split, name in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        picture(root / f"ADEChallengeData2016/images/{split}/{name}.jpg")
        write_map(root / f"ADEChallengeData2016/annotations/{split}/{name}.png", ade_map())


def stuff_map() -> np.ndarray:
    """255 = unlabeled; 46 = cup (label 47), 168 = tree (169), 170 = wall-brick (171)."""
    values = np.full((H, W), 255, np.uint8)
    values[CUP_MASK], values[PLATE_MASK], values[0] = 46, 168, 170
    return values


def write_coco_stuff(root: Path) -> None:
    """COCO-Stuff as its own set-up unpacks it, with some lines of its labels.txt."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "labels.txt").write_text("0: unlabeled\n1: person\n47: cup\n169: tree\n171: wall-brick\n")
    for split in ("train2017", "val2017"):
        picture(root / f"images/{split}/000000000009.jpg")
        write_map(root / f"annotations/{split}/000000000009.png", stuff_map())


def paco() -> dict[str, Any]:
    """paco_lvis_v1_train.json: two mugs, their handles, and a chair that is not annotated to the last one."""
    return {
        "images": [
            image(9, "train2017/000000000009.jpg")
            | {"neg_category_ids": [3], "not_exhaustive_category_ids": [2], "neg_category_ids_attrs": []}
        ],
        "annotations": [
            annotation(1, 9, packed_rle(CUP_MASK), 1) | {"obj_ann_id": 1, "attribute_ids": [3]},
            annotation(2, 9, packed_rle(PLATE_MASK), 1) | {"obj_ann_id": 2, "attribute_ids": []},
            annotation(3, 9, packed_rle(box(10, 8, 14, 20)), 11) | {"obj_ann_id": 1, "attribute_ids": []},
            annotation(4, 9, packed_rle(box(0, 0, 5, 5)), 2) | {"obj_ann_id": 4, "attribute_ids": []},
            annotation(5, 9, packed_rle(box(50, 30, 60, 44)), 12) | {"obj_ann_id": 5, "attribute_ids": []},
        ],
        "categories": [
            {"name": "mug", "id": 1, "synset": "mug.n.04", "frequency": "f", "supercategory": "OBJECT"},
            {"name": "chair", "id": 2, "synset": "chair.n.01", "frequency": "f", "supercategory": "OBJECT"},
            {"name": "car_(automobile)", "id": 3, "synset": "car.n.01", "frequency": "f", "supercategory": "OBJECT"},
            {"name": "mug:handle", "id": 11, "supercategory": "PART"},
            {"name": "laptop_computer:base_panel", "id": 12, "supercategory": "PART"},
        ],
        "part_categories": [{"supercategory": "PART", "id": 0, "name": "handle"}],
        "attributes": [{"supercategory": "ATTR", "id": 0, "name": "black"}],
        "attr_type_to_attr_idxs": {"color": [0]},
    }


def write_paco(root: Path) -> None:
    """PACO-LVIS beside the pictures of COCO 2017."""
    write_json(root / "paco/annotations/paco_lvis_v1_train.json", paco())
    picture(root / "coco/train2017/000000000009.jpg")


def pascal() -> dict[str, Any]:
    """train.json as VLPart's converter writes it: two wheels of bicycles and a pot."""
    return {
        "categories": [
            {"id": 5, "name": "bicycle:wheel"},
            {"id": 19, "name": "bus:license plate", "abbr": "bus:liplate"},
            {"id": 84, "name": "potted plant:pot"},
        ],
        "images": [{"id": 2008000003, "file_name": "2008_000003.jpg", "height": H, "width": W}],
        "annotations": [
            annotation(0, 2008000003, packed_rle(CUP_MASK), 5),
            annotation(1, 2008000003, packed_rle(PLATE_MASK), 5),
            annotation(2, 2008000003, packed_rle(box(0, 40, 8, 48)), 84),
        ],
    }


def write_pascal_part(root: Path) -> None:
    """Pascal-Part as LISA and VLPart lay it out."""
    write_json(root / "pascal_part/train.json", pascal())
    picture(root / "pascal_part/VOCdevkit/VOC2010/JPEGImages/2008_000003.jpg")
