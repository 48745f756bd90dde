# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Points as `sensor_msgs/PointCloud2`, and boxes as poses."""

from __future__ import annotations

import array
import math
import sys

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, Vector3
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from llavaseg_ros.geometry import Box, quaternion_of

_FIELDS = tuple(
    PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
    for i, name in enumerate(("x", "y", "z", "rgb"))
)
_POINT = np.dtype([("xyz", np.float32, 3), ("rgb", np.uint32)])


def cloud(points: np.ndarray, colors: np.ndarray, header: Header) -> PointCloud2:
    """Fields x, y, z (float32, m) and rgb (0x00rrggbb in the bits of a float32, as PCL and RViz read it); one row.

    points: float32 [N, 3]. colors: uint8 [N, 3], RGB.
    """
    packed = np.empty(len(points), _POINT)
    packed["xyz"] = points
    r, g, b = colors.astype(np.uint32).T if len(colors) else (0, 0, 0)
    packed["rgb"] = r << 16 | g << 8 | b
    data = array.array("B")
    data.frombytes(packed.tobytes())
    return PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=list(_FIELDS),
        is_bigendian=sys.byteorder == "big",
        point_step=_POINT.itemsize,
        row_step=_POINT.itemsize * len(points),
        data=data,
        is_dense=True,
    )


def no_cloud(header: Header) -> PointCloud2:
    """A cloud without points."""
    return cloud(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), header)


def cloud_points(msg: PointCloud2) -> np.ndarray:
    """float32 [N, 3], m: x, y, z of any PointCloud2 with these fields as float32; points with a NaN are left out.

    Raises ValueError when a field is missing or reaches beyond its point, or the data is too short.
    """
    offsets = {field.name: field.offset for field in msg.fields if field.datatype == PointField.FLOAT32}
    if not {"x", "y", "z"} <= offsets.keys():
        raise ValueError(f"point cloud: fields {[field.name for field in msg.fields]}; expected x, y, z as float32")
    reach = 4 + max(offsets[name] for name in ("x", "y", "z"))
    if reach > msg.point_step:
        raise ValueError(f"point cloud: point_step {msg.point_step} bytes; its fields x, y, z reach to byte {reach}")
    count = msg.width * msg.height
    data = np.frombuffer(msg.data, np.uint8)
    if msg.row_step != msg.width * msg.point_step and msg.height > 1:
        raise ValueError(f"point cloud: row_step {msg.row_step}; expected {msg.width} points of {msg.point_step} bytes")
    if data.size < count * msg.point_step:
        raise ValueError(f"point cloud: {data.size} bytes of data; {count} points need {count * msg.point_step}")
    rows = data[: count * msg.point_step].reshape(count, msg.point_step)
    order = ">f4" if msg.is_bigendian else "<f4"
    columns = [rows[:, offsets[name] : offsets[name] + 4].copy().view(order)[:, 0] for name in ("x", "y", "z")]
    points = np.stack(columns, axis=1).astype(np.float32)
    return points[np.isfinite(points).all(axis=1)]


def box_pose(box: Box, header: Header) -> PoseStamped:
    """Centroid and principal axes."""
    x, y, z = (float(value) for value in box.center)
    turn = quaternion_of(box.rotation)
    pose = Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=turn[0], y=turn[1], z=turn[2], w=turn[3]))
    return PoseStamped(header=header, pose=pose)


def no_pose(header: Header) -> PoseStamped:
    """NaN in every number (REP 117): there is no pose at this stamp, and whoever computes with it notices."""
    nan = math.nan
    return PoseStamped(
        header=header,
        pose=Pose(position=Point(x=nan, y=nan, z=nan), orientation=Quaternion(x=nan, y=nan, z=nan, w=nan)),
    )


def box_size(box: Box) -> Vector3:
    """Extents along the axes of `box_pose`, m."""
    x, y, z = (float(value) for value in box.size)
    return Vector3(x=x, y=y, z=z)
