"""What a run directory tells of its training."""

import dataclasses
import pathlib

import pandas as pd

from landmark_tf import InputError
from landmark_tf.models import costs, registry
from landmark_tf.training import run_directory, settings


@dataclasses.dataclass(frozen=True)
class Training:
    """A training, finished or under way.

    Attributes:
        path: the run directory.
        settings: what it was started with.
        history: a row for each epoch, as in history.csv: `epoch` from 0,
            `loss`, `accuracy`, `images_per_second`, `val_gap` and so on.
    """

    path: pathlib.Path
    settings: settings.Config
    history: pd.DataFrame

    def best(self) -> pd.Series:
        """The epoch of the highest validation GAP, which model.keras is of."""
        return self.history.loc[self.history["val_gap"].idxmax()]

    def images_per_second(self) -> float:
        """The median over the epochs, the first left out if there are more."""
        rates = self.history["images_per_second"]
        return float(rates.iloc[1:].median() if len(rates) > 1 else rates[0])

    def parameters(self) -> int:
        """The parameters of model.keras that learn, frozen or not."""
        model = registry.load_model(self.path / "model.keras")
        for layer in model.layers:  # the last stage may have frozen some
            layer.trainable = True
        return costs.parameters(model)


def read(path: str | pathlib.Path) -> Training:
    """Reads flags.txt, history.csv of a run directory.

    Raises:
        InputError: no run directory, or one without a validated epoch.
    """
    path = pathlib.Path(path)
    for name in (run_directory.FLAGS, "history.csv", "model.keras"):
        if not (path / name).is_file():
            raise InputError(
                f"no {name} there; give run directories of trainings that have "
                f"done an epoch. Received: {path}"
            )
    try:
        history = pd.read_csv(path / "history.csv")
        history["epoch"], history["loss"]  # every training has these
    except (ValueError, KeyError) as error:
        raise InputError(
            f"{path / 'history.csv'} cannot be read ({error}); leave this run "
            f"out or train it again. Received: {path}"
        ) from error
    if "val_gap" not in history or history["val_gap"].isna().all():
        raise InputError(
            "no epoch of the run was validated; train with "
            f"--validation_split. Received: {path}"
        )
    return Training(
        path,
        run_directory.read_flags(path, settings.Config),
        history,
    )
