"""What the houses along the pavement hide, so that it need not be painted. Culling changes no pixel."""

from __future__ import annotations

from collections.abc import Sequence

from fanet_ros.sources.street.facades import FLOOR
from fanet_ros.sources.street.geometry import CameraPose
from fanet_ros.sources.street.ground import PAVEMENT_EDGE
from fanet_ros.sources.street.scene import SETBACK, SceneObject

_GARDEN = 10.0  # houses whose front is nearer to the middle of the road stand on the pavement, metres


class Terrace:
    """The houses on the pavement of both sides, as the camera sees them."""

    def __init__(self, lots: Sequence[Sequence[SceneObject]], pose: CameraPose) -> None:
        """Take what lines the street, and where the camera is."""
        self._pose = pose
        self._houses = {
            side: sorted(
                (lot[0] for lot in lots if lot[0].kind == "house" and 0 < lot[0].y * side < _GARDEN),
                key=lambda house: house.x,
            )
            for side in (1, -1)
        }
        self._before = {
            id(house): nearer for row in self._houses.values() for nearer, house in zip(row[:-1], row[1:], strict=True)
        }

    def joins(self, house: SceneObject) -> bool:
        """Whether the end wall of a house is covered by the next house nearer to the camera."""
        nearer = self._before.get(id(house))
        return (
            nearer is not None
            and abs(nearer.x + nearer.length / 2 - (house.x - house.length / 2)) < 0.01
            and abs(nearer.y) <= abs(house.y)
            and nearer.height >= house.height
        )

    def hides(self, thing: SceneObject) -> bool:
        """Whether something in a garden is wholly behind houses, seen from the camera."""
        side = 1 if thing.y > 0 else -1
        if abs(thing.y) - (thing.width / 2 if thing.kind == "garden_tree" else 0) < _GARDEN:
            return False
        x0, x1 = thing.x - thing.length / 2, thing.x + thing.length / 2
        house = thing.kind == "house"
        near_y = abs(thing.y) - (0 if house else thing.width / 2)
        far_y = abs(thing.y) + (thing.width if house else thing.width / 2)
        if not house:
            x0 = x1 = thing.x  # a picture that faces the camera has no length
        top, eye = thing.height + (FLOOR if house else 0), self._pose
        if x0 <= eye.x:
            return False
        nearest, farthest = PAVEMENT_EDGE - side * eye.y, PAVEMENT_EDGE + SETBACK - side * eye.y
        share = farthest / (near_y - side * eye.y)
        # Every line of sight to it crosses the fronts of the houses between these two x, and no higher than this.
        open_from = eye.x + (x0 - eye.x) * nearest / (far_y - side * eye.y)
        end, height = eye.x + (x1 - eye.x) * share, eye.z + (top - eye.z) * share
        for front in self._houses[side]:
            if front.height >= height and front.x - front.length / 2 <= open_from + 0.01:
                open_from = max(open_from, front.x + front.length / 2)
        return open_from >= end
