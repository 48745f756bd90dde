"""Seeded procedural tabletop scenes, drawn with MuJoCo: training images with instance masks, and the demo bag."""
