"""Ground from measured points: what a depth camera or a lidar and the mask must agree on before ground is free. No ROS."""
