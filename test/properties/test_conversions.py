# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images, clouds, poses and raw messages: what goes out comes back, and what is broken is refused by name."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from examples import share
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.geometry import principal_box, rotation_of
from llavaseg_ros.ros import messages
from llavaseg_ros.ros.cdr import ImageView, RawMessage, read_stamp_ns, with_stamp
from llavaseg_ros.ros.clouds import box_pose, cloud, cloud_points, no_cloud
from llavaseg_ros.ros.convert import (
    COLOR_ENCODINGS,
    DEPTH_ENCODINGS,
    depth_mm_to_image,
    depth_to_image,
    image_size,
    mask_to_image,
    rgb_to_image,
    to_depth_m,
    to_rgb,
)

SIDES = st.integers(1, 9)
STAMPS = st.builds(Time, sec=st.integers(-(2**31), 2**31 - 1), nanosec=st.integers(0, 2**32 - 1))
HEADERS = st.builds(Header, stamp=STAMPS, frame_id=st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
HEADERS = HEADERS.filter(lambda header: "\0" not in header.frame_id)
RGB = hnp.arrays(np.uint8, st.tuples(SIDES, SIDES, st.just(3)))
# How a channel order stands in RGB, and how many bytes a value has.
ORDERS = {
    "rgb8": ([0, 1, 2], 1),
    "bgr8": ([2, 1, 0], 1),
    "8UC3": ([2, 1, 0], 1),
    "rgb16": ([0, 1, 2], 2),
    "bgr16": ([2, 1, 0], 2),
    "rgba8": ([0, 1, 2, 0], 1),
    "bgra8": ([2, 1, 0, 0], 1),
    "mono8": ([0], 1),
    "8UC1": ([0], 1),
    "mono16": ([0], 2),
}


def message(pixels: np.ndarray, encoding: str, padding: int, big: bool, header: Header, *, cut_last: bool) -> Image:
    """A message of an array [H, W, C] in the byte order, with `padding` bytes after each row, but for the last."""
    order = ">" if big else "<"
    pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(order))
    rows = pixels.reshape(len(pixels), -1).view(np.uint8)
    data = np.hstack([rows, np.full((len(rows), padding), 0xAB, np.uint8)])
    raw = data.tobytes()
    return Image(
        header=header,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        step=data.shape[1],
        is_bigendian=int(big),
        data=raw[: len(raw) - padding] if cut_last else raw,
    )


@share(1)
@given(
    rgb=RGB,
    encoding=st.sampled_from(sorted(ORDERS)),
    padding=st.integers(0, 6),
    big=st.booleans(),
    cut_last=st.booleans(),
    low=st.integers(0, 255),
    header=HEADERS,
)
def test_every_layout_of_an_image_is_read_alike(rgb, encoding, padding, big, cut_last, low, header) -> None:
    channels, size = ORDERS[encoding]
    if len(channels) == 1:
        rgb = np.repeat(rgb[:, :, :1], 3, axis=2)
    pixels = rgb[:, :, channels]
    if size == 2:
        pixels = pixels.astype(np.uint16) * 256 + np.uint16(low)
    msg = message(pixels, encoding, padding * size, big, header, cut_last=cut_last)
    assert np.array_equal(to_rgb(msg), rgb)
    assert image_size(msg) == rgb.shape[:2]
    fields = RawMessage(serialize_message(msg), Image).fields()
    assert isinstance(fields, ImageView) and np.array_equal(to_rgb(fields, copy=False), rgb)


def test_layouts_and_the_other_color_encodings_are_all() -> None:
    other = {name for name in COLOR_ENCODINGS if name.startswith(("bayer", "yuv", "uyvy", "yuyv"))}
    assert set(ORDERS) | other == set(COLOR_ENCODINGS)


@given(rgb=RGB, header=HEADERS)
def test_rgb_goes_out_and_comes_back_with_its_header(rgb, header) -> None:
    msg = deserialize_message(serialize_message(rgb_to_image(rgb, header)), Image)
    assert np.array_equal(to_rgb(msg), rgb) and msg.header == header


@given(mask=hnp.arrays(np.bool_, st.tuples(SIDES, SIDES)), header=HEADERS)
def test_masks_go_out_as_0_and_255(mask, header) -> None:
    msg = deserialize_message(serialize_message(mask_to_image(mask, header)), Image)
    assert (msg.encoding, msg.height, msg.width, msg.step) == ("mono8", *mask.shape, mask.shape[1])
    assert np.array_equal(np.frombuffer(msg.data, np.uint8).reshape(mask.shape), mask * 255)
    assert msg.header == header


@given(
    mm=hnp.arrays(np.uint16, st.tuples(SIDES, SIDES)),
    padding=st.integers(0, 3),
    big=st.booleans(),
    encoding=st.sampled_from([name for name in DEPTH_ENCODINGS if name != "32FC1"]),
)
def test_millimetres_and_metres_are_the_same_depth(mm, padding, big, encoding) -> None:
    header = Header(frame_id="depth")
    metres = to_depth_m(message(mm[:, :, None], encoding, 2 * padding, big, header, cut_last=False))
    assert metres.dtype == np.float32
    assert np.array_equal(np.isnan(metres), mm == 0)
    assert np.array_equal(to_depth_m(depth_mm_to_image(mm, header)), metres, equal_nan=True)
    floats = message(metres[:, :, None], "32FC1", 4 * padding, big, header, cut_last=False)
    assert np.array_equal(to_depth_m(floats), metres, equal_nan=True)
    assert np.allclose(metres[mm > 0] * 1000, mm[mm > 0], rtol=1e-6)


@given(depth=hnp.arrays(np.float32, st.tuples(SIDES, SIDES), elements=st.floats(width=32)))
def test_depth_is_positive_and_finite_or_nan(depth) -> None:
    read = to_depth_m(depth_to_image(depth, Header()))
    good = (depth > 0) & np.isfinite(depth)
    assert np.array_equal(read[good], depth[good]) and np.isnan(read[~good]).all()


@share(2)
@given(
    height=st.one_of(st.integers(0, 12), st.integers(0, 2**32 - 1)),
    width=st.one_of(st.integers(0, 12), st.integers(0, 2**32 - 1)),
    step=st.one_of(st.integers(0, 64), st.integers(0, 2**32 - 1)),
    encoding=st.one_of(st.sampled_from([*COLOR_ENCODINGS, *DEPTH_ENCODINGS]), st.text(max_size=5)),
    big=st.integers(0, 255),
    data=st.binary(max_size=400),
)
def test_any_image_is_read_or_refused(height, width, step, encoding, big, data) -> None:
    msg = ImageView(Header(), height, width, encoding, big, step, memoryview(data))
    for read, kind, dimensions in ((to_rgb, np.uint8, 3), (to_depth_m, np.float32, 2)):
        try:
            pixels = read(msg)
        except BadRequest as error:
            assert str(error).startswith(("image: ", "depth image: "))
        else:
            assert pixels.dtype == kind and pixels.ndim == dimensions and pixels.shape[:2] == (height, width)


@given(
    form=st.text(max_size=20),
    data=st.binary(max_size=200),
    head=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n"]),
)
def test_any_compressed_image_is_read_or_refused(form, data, head) -> None:
    msg = CompressedImage(data=head + data)
    msg.format = messages.clean(form)
    try:
        assert to_rgb(msg).ndim == 3
    except BadRequest as error:
        assert "compressed image" in str(error) or "depth image" in str(error)


@share(2)
@given(
    header=HEADERS,
    height=st.integers(0, 2**32 - 1),
    width=st.integers(0, 2**32 - 1),
    step=st.integers(0, 2**32 - 1),
    encoding=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9),
    big=st.integers(0, 255),
    data=st.binary(max_size=40),
)
def test_our_reading_of_the_wire_is_that_of_ros(header, height, width, step, encoding, big, data) -> None:
    msg = Image(header=header, height=height, width=width, step=step, encoding=encoding, is_bigendian=big, data=data)
    wire = serialize_message(msg)
    fields = RawMessage(wire, Image).fields()
    for name in ("header", "height", "width", "step", "encoding", "is_bigendian"):
        assert getattr(fields, name) == getattr(msg, name), name
    assert bytes(fields.data) == data
    assert read_stamp_ns(wire) == messages.stamp_ns(header.stamp)


@given(header=HEADERS, stamp_ns=st.integers(-(2**31) * 10**9, 2**31 * 10**9 - 1), data=st.binary(max_size=20))
def test_another_stamp_changes_nothing_else(header, stamp_ns, data) -> None:
    msg = Image(header=header, data=data)
    again = deserialize_message(with_stamp(serialize_message(msg), stamp_ns), Image)
    assert messages.stamp_ns(again.header.stamp) == stamp_ns
    again.header.stamp = header.stamp
    assert again == msg


@share(2)
@given(
    data=st.binary(max_size=80),
    start=st.sampled_from([b"", b"\0\0\0\0", b"\0\1\0\0", b"\0\3\0\0", b"\0\1\0\0" + bytes(8)]),
)
def test_any_bytes_are_a_message_or_refused(data, start) -> None:
    raw = start + data
    for kind in (Image, CompressedImage):
        try:
            fields = RawMessage(raw, kind).fields()
        except BadRequest:
            continue
        assert isinstance(fields, (ImageView, kind))
    if len(raw) < 12:
        with pytest.raises(BadRequest, match="too short"):
            read_stamp_ns(raw)
    else:
        read_stamp_ns(raw)


POINTS = hnp.arrays(np.float32, st.tuples(st.integers(0, 20), st.just(3)), elements=st.floats(-100, 100, width=32))


@given(points=POINTS, seed=st.integers(0, 99), header=HEADERS)
def test_clouds_come_back(points, seed, header) -> None:
    colors = np.random.default_rng(seed).integers(0, 256, points.shape, np.uint8)
    msg = deserialize_message(serialize_message(cloud(points, colors, header)), PointCloud2)
    assert msg.header == header and (msg.width, msg.height, msg.is_dense) == (len(points), 1, True)
    assert np.array_equal(cloud_points(msg), points)
    packed = np.frombuffer(msg.data, np.uint32).reshape(-1, 4)[:, 3]
    assert np.array_equal(np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], 1), colors)
    assert not cloud_points(no_cloud(header)).size


@given(points=POINTS, big=st.booleans(), before=st.integers(0, 9), order=st.permutations(["x", "y", "z"]))
def test_clouds_of_others_are_read(points, big, before, order) -> None:
    """Any order of the fields, any offset, either byte order; points with a NaN are left out."""
    step = before + 12
    data = np.zeros((len(points), step), np.uint8)
    values = points[:, ["xyz".index(name) for name in order]]
    data[:, before:] = np.ascontiguousarray(values, ">f4" if big else "<f4").view(np.uint8)
    fields = [
        PointField(name=name, offset=before + 4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate(order)
    ]
    msg = PointCloud2(
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=big,
        point_step=step,
        row_step=step * len(points),
        data=data.tobytes(),
    )
    assert np.array_equal(cloud_points(msg), points)


@share(2)
@given(
    names=st.permutations(["x", "y", "z", "rgb", "x"]) | st.lists(st.sampled_from(["x", "y", "z"]), max_size=5),
    offsets=st.lists(st.integers(0, 40), min_size=5, max_size=5),
    datatypes=st.just([PointField.FLOAT32] * 5)
    | st.lists(st.sampled_from([PointField.FLOAT32, PointField.FLOAT64, 200]), min_size=5, max_size=5),
    width=st.integers(0, 2**32 - 1) | st.integers(0, 4),
    height=st.integers(0, 2**32 - 1) | st.integers(0, 2),
    step=st.integers(0, 30),
    row_step=st.integers(0, 100),
    data=st.binary(max_size=120),
)
def test_any_cloud_is_read_or_refused(names, offsets, datatypes, width, height, step, row_step, data) -> None:
    fields = [
        PointField(name=n, offset=o, datatype=d, count=1) for n, o, d in zip(names, offsets, datatypes, strict=False)
    ]
    msg = PointCloud2(height=height, width=width, fields=fields, point_step=step, row_step=row_step, data=data)
    try:
        points = cloud_points(msg)
    except ValueError as error:
        assert str(error).startswith("point cloud: ")
    else:
        assert points.dtype == np.float32 and points.shape[1] == 3 and len(points) <= width * height
        assert np.isfinite(points).all()


@given(seed=st.integers(0, 999), header=HEADERS)
def test_a_pose_says_what_its_box_says(seed, header) -> None:
    rng = np.random.default_rng(seed)
    box = principal_box(rng.normal(size=(50, 3)) * (0.3, 0.2, 0.1) + (0, 0, 1))
    pose = box_pose(box, header).pose
    turn = rotation_of([getattr(pose.orientation, axis) for axis in "xyzw"])
    assert turn == pytest.approx(box.rotation, abs=1e-9)
    assert [pose.position.x, pose.position.y, pose.position.z] == pytest.approx(box.center)


@given(st.floats(0, 2**31 - 1, allow_nan=False))
def test_durations_come_back_to_the_nanosecond(seconds) -> None:
    assert messages.seconds_of(messages.duration(seconds)) == pytest.approx(seconds, abs=1e-6)
    assert messages.duration(-seconds).sec == 0 if seconds > 0 else True


@given(st.text(max_size=60))
def test_clean_text_can_be_sent(text) -> None:
    from std_msgs.msg import String

    cleaned = messages.clean(text)
    assert deserialize_message(serialize_message(String(data=cleaned)), String).data == cleaned
    assert messages.clean(cleaned) == cleaned
    assert not any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\r\n" for c in cleaned)
    if text.isascii() and text.isprintable() or text.isalnum():
        assert cleaned == text


@share(2)
@given(st.one_of(st.text(max_size=60), st.text(max_size=1).map(lambda one: one * 2001)))
def test_a_command_is_words_or_refused(text) -> None:
    try:
        words = messages.check_command(text)
    except BadRequest as error:
        assert str(error).startswith("command: ")
    else:
        assert words == text.strip() and 0 < len(words) <= messages.MAX_COMMAND_LENGTH
        assert any(c.isalnum() for c in words) and "\0" not in words
