"""Lists the verbs: python -m landmark_tf."""

import ast
import pathlib

VERBS = (
    "download",
    "prepare",
    "train",
    "evaluate",
    "predict",
    "delf",
    "extract",
    "match",
    "verify",
    "ensemble",
    "score",
    "explain",
    "app",
    "export",
    "report",
    "experiments",
)


def main() -> None:
    """Prints each verb with the first line of its docstring."""
    print("python -m landmark_tf.VERB --help\n")
    folder = pathlib.Path(__file__).parent
    for verb in VERBS:
        source = (folder / f"{verb}.py").read_text(encoding="utf-8")
        about = ast.get_docstring(ast.parse(source)).partition("\n")[0]
        print(f"  {verb:13}{about}")


if __name__ == "__main__":
    main()
