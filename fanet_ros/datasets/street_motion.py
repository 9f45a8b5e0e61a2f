"""Where the street camera's ground and sky were in the frame before: exact, from two true poses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fanet_ros.sources.street.geometry import View


def ground_motion(now: View, before: View) -> NDArray[np.float64]:
    """Return the homography of the plane z = 0: a pixel of the ground now -> its pixel before, float64 (3, 3)."""
    return _pixels_from_ground(before) @ np.linalg.inv(_pixels_from_ground(now))


def sky_motion(now: View, before: View) -> NDArray[np.float64]:
    """Return the homography of all that is infinitely far: a pixel now -> its pixel before, float64 (3, 3)."""
    turn = before.pose.optical_from_map @ now.pose.optical_from_map.T
    return before.matrix @ turn @ np.linalg.inv(now.matrix)


def _pixels_from_ground(view: View) -> NDArray[np.float64]:
    """K R [e_x e_y -c]: a point (x, y, 1) of the map's ground -> its pixel, up to a factor."""
    ground = np.column_stack([np.eye(3)[:, :2], -view.pose.position])
    return view.matrix @ view.pose.optical_from_map @ ground
