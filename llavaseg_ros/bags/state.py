# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where the annotation of a bag stands, in a file: so that a run that was killed goes on as if it had not been."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from llavaseg_ros.errors import BadRequest, ErrorCode
from llavaseg_ros.types import Attributes, Result, Segment, Thought


@dataclass
class Track:
    """What is followed for one command. result: the last one that was found, None while there is none.

    seen_ns: stamp of its frame. tried_ns: stamp from which on the time runs until the language model is asked (again);
    None: it is to be asked at once. lost: the target was not there on the last frame.
    """

    result: Result | None = None
    seen_ns: int = 0
    tried_ns: int | None = None
    lost: bool = False


@dataclass
class Counts:
    """What came of the frames so far. failed: commands that ended in an error of the model. broken: images that do not
    decode. first_error: the first text of either."""

    frames: int = 0
    asked: int = 0
    with_mask: int = 0
    with_geometry: int = 0
    failed: int = 0
    broken: int = 0
    first_error: str = ""


@dataclass
class State:
    """next_frame: number of the first image that is not done. tracks: one for each command, when following."""

    next_frame: int = 0
    counts: Counts = field(default_factory=Counts)
    tracks: list[Track] = field(default_factory=list)


def save_state(state: State, path: Path) -> None:
    """Write to an .npz: one JSON text, and the masks of the tracks."""
    masks: dict[str, Any] = {}
    tracks = [_track_fields(track, number, masks) for number, track in enumerate(state.tracks)]
    text = json.dumps({"next_frame": state.next_frame, "counts": asdict(state.counts), "tracks": tracks})
    with path.open("wb") as file:
        np.savez_compressed(file, text=np.frombuffer(text.encode(), np.uint8), **masks)


def load_state(path: Path) -> State:
    """What `save_state` wrote. Raises BadRequest when the file is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            values = json.loads(bytes(file["text"]))
            tracks = [_track(fields_, number, file) for number, fields_ in enumerate(values["tracks"])]
            return State(values["next_frame"], Counts(**values["counts"]), tracks)
    except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise BadRequest(f"{path} cannot be read ({error}); --restart begins anew") from error


def _track_fields(track: Track, number: int, masks: dict[str, Any]) -> dict[str, Any]:
    values = {f.name: getattr(track, f.name) for f in fields(track) if f.name != "result"}
    if track.result is None:
        return values
    segments = []
    for index, segment in enumerate(track.result.segments):
        masks[f"mask_{number}_{index}"] = segment.mask
        segments.append({f.name: getattr(segment, f.name) for f in fields(segment) if f.name != "mask"})
        if segment.attributes is not None:
            segments[-1]["attributes"] = asdict(segment.attributes)
        segments[-1]["score"] = float(segment.score)
        segments[-1]["roi"] = [int(value) for value in segment.roi]
    result = {f.name: getattr(track.result, f.name) for f in fields(track.result) if f.name != "segments"}
    result["thought"] = asdict(track.result.thought)
    result["error_code"] = int(track.result.error_code)
    result["presence"] = float(track.result.presence)
    return {**values, "result": {**result, "segments": segments}}


def _track(values: dict[str, Any], number: int, masks: Any) -> Track:
    result = values.pop("result", None)
    if result is None:
        return Track(**values)
    segments = []
    for index, segment in enumerate(result.pop("segments")):
        attributes = segment.pop("attributes", None)
        roi = tuple(segment.pop("roi"))
        mask = masks[f"mask_{number}_{index}"]
        segments.append(Segment(mask, roi=roi, attributes=Attributes(**attributes) if attributes else None, **segment))
    thought, code = _thought(result.pop("thought")), ErrorCode(result.pop("error_code"))
    return Track(Result(thought=thought, segments=tuple(segments), error_code=code, **result), **values)


def _thought(values: dict[str, Any]) -> Thought:
    given = {
        "attributes": Attributes(**values.pop("attributes")),
        "raw": tuple(values.pop("raw")),
        "box": None if values["box"] is None else tuple(values["box"]),
        "others": tuple(_thought(other) for other in values.pop("others")),
    }
    return Thought(**{**values, **given})
