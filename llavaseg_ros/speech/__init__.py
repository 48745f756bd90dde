"""Speech: microphone or recording in, commands as text out. Free of rclpy."""
