r"""Scores a submission against the true landmarks, as the competition does.

    python -m landmark_tf.score --submission=submission.csv \
        --solution=recognition_solution.csv

Prints one JSON object: `gap` (Global Average Precision, 0 to 1 with one
prediction a query), `queries` that count, `with_landmark` of them that show
one, and `predicted` of them for which the submission names one. Rows whose
Usage is Ignored never count. The submission must name every id of the solution
once, whatever --usage.
"""

import dataclasses
import json

from landmark_tf import command, config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    submission: str = config.field(help="CSV of id,landmarks to score")
    solution: str = config.field(help="CSV of id,landmarks and Usage, if any")
    usage: str = config.field(
        "all",
        choices=("all", "Public", "Private"),
        help="the rows of the solution that count",
    )


def run(settings: Config) -> dict[str, float | int]:
    """Scores a submission, prints the result as JSON and returns it.

    Raises:
        InputError: a file that cannot be read, an id of the one that is not
            in the other, a usage that no row of the solution has.
    """
    from landmark_tf.predictions import queries, scoring, submission

    solution = submission.read_solution(settings.solution)
    pairs, ids = submission.read_submission(settings.submission)
    queries.check_same(
        ids, list(solution["id"]), settings.submission, settings.solution
    )
    result = scoring.score(pairs, solution, settings.usage)
    print(json.dumps(result))
    return result


if __name__ == "__main__":
    command.main(run, Config)
