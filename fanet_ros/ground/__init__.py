"""From a mask to the ground: what a calibrated camera over flat ground tells about where a robot may drive. No ROS."""
