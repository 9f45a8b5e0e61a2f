"""The ROS 2 layer: nodes, message conversion, and what surrounds them; the only part that may import rclpy."""
