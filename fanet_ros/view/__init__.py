"""What is segmented, shown in a browser by Rerun, whose web viewer comes with its package and needs no network.

Rerun needs NumPy 2, ROS distributions may have NumPy 1: so Rerun runs in a process of its own (`server.py` and what
that imports), perhaps with another Python, and is told what to show through a pipe (`records.py`).
"""
