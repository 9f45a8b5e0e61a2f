"""Ground from measured points: free is what a depth camera or a lidar and the mask agree on. No ROS."""
