"""MuJoCo reads its choice of OpenGL when it is first imported, by whichever test that is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from llavaseg_ros.training.scenes.packs import Pack
    from llavaseg_ros.training.scenes.render import SceneRenderer

os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("LP_NUM_THREADS", "1")  # Mesa: one thread, so that tests leave the machine to others


@pytest.fixture(scope="session")
def off_screen() -> None:
    """Skips where nothing can be drawn without a display."""
    try:
        from llavaseg_ros.training.scenes.gl import mujoco

        model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
        mujoco.Renderer(model, 8, 8).close()
    except Exception as error:  # whatever the OpenGL stack raises; the reason is in the report
        pytest.skip(f"no off-screen OpenGL (install libegl1 and libegl-mesa0): {error}")


@pytest.fixture(scope="module")
def pack() -> Pack:
    """A training pack, objects and table tops."""
    from llavaseg_ros.training.scenes.packs import make_pack

    return make_pack(7, 0)


@pytest.fixture(scope="module")
def renderer(off_screen: None, pack: Pack) -> Iterator[SceneRenderer]:
    """A renderer of `pack`."""
    from llavaseg_ros.training.scenes.render import SceneRenderer

    with SceneRenderer(pack) as out:
        yield out
