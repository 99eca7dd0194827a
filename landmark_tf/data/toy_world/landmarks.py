"""The landmarks: buildings with a name, a label and a drawing of their own.

A building is drawn from the front, once, by a function that says what makes
it recognisable.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from landmark_tf import InputError
from landmark_tf.data.toy_world import halls, monuments, towers
from landmark_tf.data.toy_world.facade import Facade

REFERENCE = 480  # pixels of a unit of length in a landmark's drawing
BUILDINGS: dict[str, Callable[[Facade], None]] = {
    build.__name__: build
    for build in (
        towers.clock_tower,
        halls.temple,
        halls.cathedral,
        towers.windmill,
        halls.castle,
        towers.pagoda,
        monuments.triumphal_arch,
        towers.lighthouse,
        halls.basilica,
        monuments.stone_bridge,
        towers.lattice_tower,
        halls.town_hall,
        monuments.step_pyramid,
        halls.onion_church,
        monuments.obelisk,
        monuments.suspension_bridge,
    )
}


@dataclasses.dataclass(frozen=True, eq=False)
class Landmark:
    """A building with a name.

    Attributes:
        name: what it is, such as "clock_tower".
        landmark_id: its label, unique among the landmarks of one seed.
        drawing: seen from the front, uint8 RGBA [480, 480, 4].
    """

    name: str
    landmark_id: int
    drawing: np.ndarray = dataclasses.field(repr=False)


def landmarks(count: int = 16, seed: int = 0) -> list[Landmark]:
    """Builds the landmarks; the first do not depend on how many there are.

    Args:
        count: how many, from 1; beyond 16 a second of each kind is built.
        seed: decides ids, colours and proportions, 0 or more.

    Raises:
        InputError: `count` or `seed` is too small.
    """
    if count < 1 or seed < 0:
        raise InputError(
            "landmarks must be 1 or more and seed 0 or more. "
            f"Received: landmarks={count}, seed={seed}"
        )
    ids = np.random.default_rng(seed).permutation(200_000)
    kinds = list(BUILDINGS.items())
    built = []
    for i in range(count):
        name, build = kinds[i % len(kinds)]
        sheet = Facade(np.random.default_rng([seed, i]), REFERENCE)
        build(sheet)
        name += f"_{i // len(kinds) + 1}" if i >= len(kinds) else ""
        built.append(Landmark(name, int(ids[i]) + 1, sheet.finish()))
    return built
