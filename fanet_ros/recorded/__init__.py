"""Recorded data: ROS 2 bags (mcap, sqlite3) in, the same bags with masks out. Needs rosbags and mcap, and no ROS."""
