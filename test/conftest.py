# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""For every test: drawing without a display, ROS that talks to itself only, properties that try the same examples."""

from __future__ import annotations

import os

import hypothesis
import pytest

# MuJoCo reads its choice of OpenGL when it is first imported, by whichever test that is.
os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("LP_NUM_THREADS", "1")  # Mesa: one thread, so that tests leave the machine to others
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"  # before the first context is made

# The same examples in every run, so that no run fails by chance; `pytest --hypothesis-profile nightly` looks further.
_patient = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("ci", _patient, derandomize=True, database=None, max_examples=100)
hypothesis.settings.register_profile("nightly", _patient, max_examples=3000)
hypothesis.settings.load_profile("ci")


@pytest.fixture(scope="session")
def off_screen() -> None:
    """Skips where nothing can be drawn without a display."""
    try:
        from llavaseg_ros.training.scenes.gl import mujoco

        model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
        mujoco.Renderer(model, 8, 8).close()
    except Exception as error:  # whatever the OpenGL stack raises; the reason is in the report
        pytest.skip(f"no off-screen OpenGL (install libegl1 and libegl-mesa0): {error}")
