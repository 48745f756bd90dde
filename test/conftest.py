"""For every test: drawing without a display, and ROS that talks to itself only."""

from __future__ import annotations

import os

import pytest

# MuJoCo reads its choice of OpenGL when it is first imported, by whichever test that is.
os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("LP_NUM_THREADS", "1")  # Mesa: one thread, so that tests leave the machine to others
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"  # before the first context is made


@pytest.fixture(scope="session")
def off_screen() -> None:
    """Skips where nothing can be drawn without a display."""
    try:
        from llavaseg_ros.training.scenes.gl import mujoco

        model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
        mujoco.Renderer(model, 8, 8).close()
    except Exception as error:  # whatever the OpenGL stack raises; the reason is in the report
        pytest.skip(f"no off-screen OpenGL (install libegl1 and libegl-mesa0): {error}")
