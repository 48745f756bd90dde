"""The ROS layer below the nodes: message conversion, freshness, QoS, the worker thread, diagnostics."""
