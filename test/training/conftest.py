"""MuJoCo reads its choice of OpenGL when it is first imported, by whichever test that is."""

import os

os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("LP_NUM_THREADS", "1")  # Mesa: one thread, so that tests leave the machine to others
