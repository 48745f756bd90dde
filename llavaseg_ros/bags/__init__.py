"""Recorded bags without a robot: reading them, also broken ones, and writing masks and answers into new ones.

Needs the message packages and rclpy's serialization, so that an annotated bag holds what the node would have published.
"""
