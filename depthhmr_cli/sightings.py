"""Who was seen where and when in a stream: the motions that the animated formats are written from."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from service.client import Person

if TYPE_CHECKING:
    from bodykit.meshio.motion import Motion

REACH_M = 0.75  # the farthest that a person moves between their first and their second sighting
LEAST_STEP_S = 1e-3  # keyframes must not stand still, whatever the clock of the video does


class Sightings:
    """The people of a stream by their track ids.

    The tracker gives an id at the second sighting in a row; the first is found again as the nearest person without an id
    in the result before. The people of a single result are all kept, each as a track of its own.
    """

    def __init__(self) -> None:
        self.times: list[float] = []  # of the pictures that have a result
        self._seen: dict[int, list[tuple[int, Person]]] = {}  # track -> (number of the picture, person)
        self._without_id: list[Person] = []  # in the latest result

    def take(self, people: Sequence[Person], time_s: float | None) -> None:
        """The people of the next result, in the order of the pictures."""
        number = len(self.times)
        earliest = self.times[-1] + LEAST_STEP_S if self.times else 0.0
        self.times.append(max(time_s or 0.0, earliest))
        confirmed = [(person.track_id, person) for person in people if person.track_id is not None]
        for track, person in confirmed:
            if track not in self._seen:
                first = self._first_sighting(person)
                self._seen[track] = [] if first is None else [(number - 1, first)]
            self._seen[track].append((number, person))
        self._without_id = [person for person in people if person.track_id is None]

    def motions(self) -> "list[Motion]":
        """One per person, in the order of their ids; their shape is the mean of the shapes seen."""
        import numpy as np

        from bodykit.meshio.motion import Motion
        from bodykit.palette import person_colours

        seen = dict(sorted(self._seen.items()))
        if len(self.times) == 1:
            unused = max(seen, default=-1) + 1
            seen |= {unused + i: [(0, person)] for i, person in enumerate(self._without_id)}
        colours = person_colours(len(seen)).tolist()
        return [
            Motion(
                name=f"person_{track:02d}",
                frames=np.array([number for number, _ in sightings]),
                axis_angle=np.array([np.vstack([person.global_orient, person.body_pose]) for _, person in sightings]),
                translation=np.array([person.translation for _, person in sightings]),
                betas=np.mean([person.betas for _, person in sightings], axis=0),
                colour=tuple(colour),
            )
            for (track, sightings), colour in zip(seen.items(), colours, strict=True)
        ]

    def _first_sighting(self, person: Person) -> Person | None:
        """Takes the nearest person out of the latest result's people without an id."""
        distances = [distance(person, other) for other in self._without_id]
        if not distances or min(distances) > REACH_M:
            return None
        return self._without_id.pop(distances.index(min(distances)))


def distance(one: Person, other: Person) -> float:
    """Metres between two pelvises."""
    return math.dist(one.translation, other.translation)
