"""A table with things, an RGB-D camera and a parallel gripper, in MuJoCo: pictures as in training, with contacts."""
