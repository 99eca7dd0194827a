"""DELF from a SavedModel: TF-Hub's, Kaggle's, or one in a folder.

    google/delf/1, signature "default":
    image            float32 [H, W, 3] in [0, 1]
    score_threshold  float32 []
    image_scales     float32 [S]
    max_feature_num  int32 []
    -> locations     float32 [N, 2], (y, x) in pixels of the image
       descriptors   float32 [N, 40]

(Noh et al. 2017.) Where a module also gives `scales` and `scores`, they are
kept. A module with a signature "batch", which takes `images` [B, H, W, 3] and
gives the same with a leading dimension and `count` int32 [B], is asked for
several pictures at once.
"""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from landmark_tf import InputError
from landmark_tf.features.local import LocalFeatures, empty
from landmark_tf.features.settings import Extraction
from landmark_tf.files import quiet

DEFAULT = "https://tfhub.dev/google/delf/1"
MAX_DISTANCE = 0.8  # of two descriptors that can be of one thing

_PIXELS = 1 << 18  # of a batch: in twice the size its features take a gigabyte

_INPUTS = {"score_threshold", "image_scales", "max_feature_num"}
_OUTPUTS = {"locations", "descriptors"}


class Delf:
    """Takes the features that a SavedModel finds; see `Extractor`.

    Args:
        settings: `extractor` is `delf`, or `delf:` and an address or a folder.

    Raises:
        InputError: it cannot be loaded, or has another signature.
    """

    max_distance = MAX_DISTANCE
    processes = 1  # TensorFlow takes all cores, or the accelerator, for itself

    def __init__(self, settings: Extraction):
        self._tf = quiet.import_tensorflow()
        self._handle = settings.extractor.partition(":")[2] or DEFAULT
        self._module = load(self._handle)  # its functions need it alive
        signatures = self._module.signatures
        self._one = _checked(signatures, "default", "image", self._handle)
        self._many = None
        if "batch" in signatures:
            self._many = _checked(signatures, "batch", "images", self._handle)
        constant = self._tf.constant
        self._given = {
            "score_threshold": constant(settings.score_threshold, "float32"),
            "image_scales": constant(settings.image_scales, "float32"),
            "max_feature_num": constant(settings.max_features, "int32"),
        }
        self.dimension = self._dimension()

    def __call__(self, images: Sequence[np.ndarray]) -> list[LocalFeatures]:
        """See `Extractor`."""
        size = images[0].shape[:2]
        most = max(1, _PIXELS // (size[0] * size[1]))
        return [
            features
            for first in range(0, len(images), most)
            for features in self._extract(images[first : first + most], size)
        ]

    def _extract(
        self, images: Sequence[np.ndarray], size: tuple[int, int]
    ) -> list[LocalFeatures]:
        pictures = np.stack(images).astype(np.float32) / 255
        if self._many is None:
            answers = [self._ask(self._one, image=x) for x in pictures]
        else:
            batch = self._ask(self._many, images=pictures)
            counts = batch.pop("count")
            answers = [
                {name: x[row, :count] for name, x in batch.items()}
                for row, count in enumerate(counts)
            ]
        return [self._features(answer, size) for answer in answers]

    def _ask(self, function: Any, **pictures: np.ndarray) -> dict:
        tensors = {k: self._tf.constant(x) for k, x in pictures.items()}
        found = function(**tensors, **self._given)
        return {name: x.numpy() for name, x in found.items()}

    def _features(
        self, answer: Mapping[str, np.ndarray], size: tuple[int, int]
    ) -> LocalFeatures:
        count = len(answer["locations"])
        if not count:
            return empty(self.dimension, size)
        ones = np.ones(count, np.float32)
        found = LocalFeatures(
            answer["locations"].astype(np.float32),
            answer.get("scales", ones).reshape(count).astype(np.float32),
            answer.get("scores", ones).reshape(count).astype(np.float32),
            answer["descriptors"].astype(np.float32),
            size,
        ).finite()
        return found.select(np.argsort(-found.scores, kind="stable"))

    def _dimension(self) -> int:
        shape = self._one.structured_outputs["descriptors"].shape
        if shape.rank == 2 and shape[1]:
            return int(shape[1])
        grey = np.full((128, 128, 3), 0.5, np.float32)
        return int(self._ask(self._one, image=grey)["descriptors"].shape[-1])


def load(handle: str) -> Any:
    """Loads a module by `hub.load`.

    Args:
        handle: an address of tfhub.dev or of Kaggle's models, or a folder.

    Raises:
        InputError: it is not there, cannot be fetched or is no SavedModel.
    """
    with warnings.catch_warnings():  # of pkg_resources, which it still imports
        warnings.simplefilter("ignore")
        import tensorflow_hub as hub
    address = "://" in handle
    if not address and not os.path.isdir(handle):
        raise InputError(
            "no DELF there; give delf:FOLDER of a SavedModel or an address, or "
            f"--extractor=sift, which needs none. Received: {handle}"
        )
    try:
        return hub.load(handle)
    except Exception as error:  # of the network, of archives, of SavedModels
        if not address:
            raise InputError(
                f"no SavedModel that can be loaded ({error!r:.200}). "
                f"Received: {handle}"
            ) from error
        cache = os.environ.get("TFHUB_CACHE_DIR") or os.path.join(
            tempfile.gettempdir(), "tfhub_modules"
        )
        raise InputError(
            f"DELF cannot be fetched ({error!r:.200}); fetched modules are "
            f"kept in {cache} (TFHUB_CACHE_DIR). --extractor=sift and "
            f"delf:FOLDER need no download. Received: {handle}"
        ) from error


def fingerprint(extractor: str) -> str:
    """The SHA-256 of the files of a module in a folder; "" of any other.

    Args:
        extractor: as in `settings.Extraction`.
    """
    folder = extractor.partition(":")[2]
    files = sorted(Path(folder).rglob("*")) if folder else []
    digest = hashlib.sha256()
    for path in files:
        if path.name == "saved_model.pb" or "variables" in path.parts:
            digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest() if files else ""


def _checked(
    signatures: Mapping[str, Any], name: str, pictures: str, handle: str
) -> Any:
    """A signature with DELF's inputs and outputs."""
    wanted = _INPUTS | {pictures}
    if name not in signatures:
        raise InputError(
            f"the module has no signature {name!r}; give one of DELF. Received:"
            f" {handle} with {', '.join(signatures) or 'none'}"
        )
    function = signatures[name]
    inputs = set(function.structured_input_signature[1])
    outputs = set(function.structured_outputs)
    if inputs != wanted or not outputs >= _OUTPUTS:
        raise InputError(
            f"DELF's signature {name!r} takes {', '.join(sorted(wanted))} and "
            f"gives {', '.join(sorted(_OUTPUTS))}. Received: {handle}, which "
            f"takes {', '.join(sorted(inputs))} and gives "
            f"{', '.join(sorted(outputs))}"
        )
    return function
