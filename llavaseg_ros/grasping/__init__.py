"""Top-down grasps for a parallel gripper, from the points of a target and of what stands around it. NumPy only."""
