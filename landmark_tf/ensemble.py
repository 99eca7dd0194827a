r"""Makes one submission of several, in the report's ways and by averaging.

    python -m landmark_tf.ensemble --strategy=average \
        --submissions=a.csv,b.csv --out=ensemble.csv

The first submission is the base. max_confidence takes the most confident
answer; in correct, boost, average and weighted the base's landmark stays, and
the models that name the same change its confidence: replace it, add --scale
times theirs, or average with it. soft_voting averages what all models say of
every landmark, and rank_average their ranks; these two take the lists of
`predict --top_k`.

Weights are those given, or the models' GAP on labelled queries, of which
`evaluate --predictions --solution` writes both files:

    python -m landmark_tf.ensemble --strategy=weighted --weights=auto \
        --labelled=val_a.csv,val_b.csv --solution=val.csv \
        --submissions=a.csv,b.csv --out=ensemble.csv

--search in place of both chooses strategy, base, weights and scale by GAP on
the labelled queries, and tells by cross-validation what that is worth.
"""

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING, Any

from landmark_tf import InputError, command, config

if TYPE_CHECKING:
    from landmark_tf.predictions.ensemble_search import Truth
    from landmark_tf.predictions.ensembling import Choice
    from landmark_tf.predictions.votes import Votes

_LARGEST_SCALE = 1e6
_OF_LISTS = ("soft_voting", "rank_average")
_WEIGHTED = ("weighted", *_OF_LISTS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of an ensemble."""

    submissions: tuple[str, ...] = config.field(
        help="CSV files of id,landmarks; the first is the base"
    )
    out: str = config.field(help="submission file to write (replaced if there)")
    strategy: str = config.field(
        "average",
        choices=(
            "max_confidence",
            "correct",
            "boost",
            "average",
            "weighted",
            "soft_voting",
            "rank_average",
        ),
        help="how they are combined",
    )
    weights: str = config.field(
        "",
        help="a number for each submission, or auto: GAP on --solution; for "
        "weighted, soft_voting and rank_average",
    )
    scale: float = config.field(
        0.5, help="0 or more, what boost multiplies the others' confidence by"
    )
    top_k: int = config.field(
        1, help="landmarks for each query, of soft_voting and rank_average"
    )
    search: bool = config.field(
        False, help="choose all of these by GAP on --solution"
    )
    labelled: tuple[str, ...] = config.field(
        (), help="the models' submissions for --solution; none: --submissions"
    )
    solution: str = config.field(
        "", help="CSV of the true landmarks, for --weights=auto and --search"
    )


def run(settings: Config) -> dict[str, Any]:
    """Combines, writes the submission, and says what was done.

    Returns:
        `strategy`, `base` (a file), `weights`, `scale`, `queries`, `predicted`;
        with `--search` also what `cross_validate` found, and `labelled_gap`.

    Raises:
        InputError: a file or a setting cannot be used.
    """
    _check(settings)
    from landmark_tf.predictions import ensembling, submission
    from landmark_tf.predictions.votes import read_votes

    votes = read_votes(settings.submissions)
    facts: dict[str, Any] = {}
    if settings.search:
        labelled, truth = _labelled(settings, votes)
        if votes.is_of_lists() != labelled.is_of_lists():
            raise InputError(
                "--labelled and --submissions must both be lists of several "
                "landmarks (predict --top_k) or both of one. Received: "
                f"{labelled.confidence.shape[2]} and "
                f"{votes.confidence.shape[2]} landmarks of one query"
            )
        choice, facts = _search(settings, labelled, truth)
    else:
        choice = ensembling.Choice(
            settings.strategy, 0, _weights(settings, votes), settings.scale
        )
    answer = choice(votes, settings.top_k)
    submission.write_submission(
        settings.out, votes.ids, answer.landmark_id, answer.confidence
    )
    predicted = int((answer.landmark_id[:, 0] >= 0).sum())
    print(
        f"{settings.out}: {choice.strategy} of {len(settings.submissions)} "
        f"submissions, {len(votes.ids)} queries, {predicted} with a prediction"
    )
    return {
        "strategy": choice.strategy,
        "base": settings.submissions[choice.base],
        "weights": list(choice.weights),
        "scale": choice.scale,
        "queries": len(votes.ids),
        "predicted": predicted,
        **facts,
    }


def _check(settings: Config) -> None:
    if len(set(settings.submissions)) < max(len(settings.submissions), 2):
        raise InputError(
            "--submissions needs two files or more, each once, with commas "
            f"between. Received: {','.join(settings.submissions) or 'none'}"
        )
    if settings.labelled and len(settings.labelled) != len(
        settings.submissions
    ):
        raise InputError(
            "--labelled needs a file for each of --submissions, in the same "
            f"order. Received: {len(settings.labelled)} for "
            f"{len(settings.submissions)}"
        )
    learns = settings.search or settings.weights == "auto"
    if learns and not settings.solution:
        raise InputError(
            "--search and --weights=auto need --solution, the truth to choose "
            "by. Received: none"
        )
    if not learns and (settings.solution or settings.labelled):
        raise InputError(
            "--solution and --labelled are for --weights=auto and --search; "
            "leave them out. "
            f"Received: --weights={settings.weights}, --search=False"
        )
    if settings.strategy == "weighted" and not (
        settings.weights or settings.search
    ):
        raise InputError(
            "--strategy=weighted needs --weights: numbers, or auto with "
            "--solution. Received: none"
        )
    weighs = settings.search or settings.strategy in _WEIGHTED
    if settings.weights and not weighs:
        raise InputError(
            f"--weights are for --strategy={', '.join(_WEIGHTED)}. "
            f"Received: --strategy={settings.strategy}"
        )
    if not 0 <= settings.scale <= _LARGEST_SCALE or settings.top_k < 1:
        raise InputError(
            f"--scale must lie between 0 and {_LARGEST_SCALE:g}, and --top_k "
            "be 1 or more. "
            f"Received: {settings.scale:g}, {settings.top_k}"
        )
    lists = settings.search or settings.strategy in _OF_LISTS
    if settings.top_k > 1 and not lists:
        raise InputError(
            f"--top_k is for --strategy={' and '.join(_OF_LISTS)}. "
            f"Received: --strategy={settings.strategy}"
        )
    _check_out(settings)


def _check_out(settings: Config) -> None:
    out = pathlib.Path(settings.out)
    if out.is_dir():
        raise InputError(f"--out must be a file. Received: {out}")
    read = (*settings.submissions, *settings.labelled, settings.solution)
    for path in filter(None, read):
        if out.exists() and os.path.exists(path) and out.samefile(path):
            raise InputError(
                "--out would replace a file that is read; give it another "
                f"name. Received: {out}"
            )


def _weights(settings: Config, votes: "Votes") -> tuple[float, ...]:
    from landmark_tf.predictions import ensemble_search

    if settings.weights != "auto":
        if not settings.weights:
            return ()
        try:
            return tuple(map(float, settings.weights.split(",")))
        except ValueError as error:
            raise InputError(
                "--weights must be auto, or numbers with commas between. "
                f"Received: {settings.weights!r}"
            ) from error
    found = ensemble_search.scores(*_labelled(settings, votes))
    for path, value in zip(settings.submissions, found):
        print(f"  {path}: weight {value:.4f}, its GAP on {settings.solution}")
    return found


def _labelled(settings: Config, votes: "Votes") -> tuple["Votes", "Truth"]:
    """What the models say of labelled queries, and the truth."""
    from landmark_tf.predictions import (
        ensemble_search,
        queries,
        submission,
    )
    from landmark_tf.predictions.votes import read_votes

    if settings.labelled:
        votes = read_votes(settings.labelled)
    solution = submission.read_solution(settings.solution)
    first = (settings.labelled or settings.submissions)[0]
    wanted = list(solution["id"])
    queries.check_same(list(votes.ids), wanted, first, settings.solution)
    ignored = solution["usage"] == "Ignored"
    counts = solution[~ignored].set_index("id").index
    rows = [row for row, name in enumerate(votes.ids) if name in counts]
    votes = votes.of(rows)
    return votes, ensemble_search.Truth.of(solution, votes.ids)


def _search(
    settings: Config, votes: "Votes", truth: "Truth"
) -> tuple["Choice", dict[str, float]]:
    from landmark_tf.predictions import ensemble_search

    worth = ensemble_search.cross_validate(votes, truth)
    found = ensemble_search.search(votes, truth)
    choice = found.choice
    print(
        f"{len(votes.ids)} labelled queries, {truth.with_landmark()} with a "
        f"landmark:\n"
        f"  best single submission  GAP {found.gap_single:.4f}  "
        f"{settings.submissions[found.single]}\n"
        f"  best ensemble           GAP {found.gap:.4f}  "
        f"{_as_flags(choice, settings)}\n"
        f"  on queries that the search had not seen: {worth['gap']:.4f} "
        f"against {worth['gap_single']:.4f} of the best single, a gain of "
        f"{worth['gain']:+.4f} (standard error {worth['gain_error']:.4f})"
    )
    if worth["gain"] <= 2 * worth["gain_error"]:
        print("  which is no gain to rely on")
    return choice, {"labelled_gap": found.gap, **worth}


def _as_flags(choice: "Choice", settings: Config) -> str:
    """The flags that combine in the same way without a search."""
    order = list(range(len(settings.submissions)))
    order.insert(0, order.pop(choice.base))
    files = ",".join(settings.submissions[i] for i in order)
    shown = f"--strategy={choice.strategy} --submissions={files}"
    if choice.weights:
        weights = ",".join(f"{choice.weights[i]:g}" for i in order)
        shown += f" --weights={weights}"
    if choice.strategy == "boost":
        shown += f" --scale={choice.scale:g}"
    return shown


if __name__ == "__main__":
    command.main(run, Config)
