"""The parsers, by answers that libFuzzer makes: whatever reaches new code is varied further.

It needs atheris, which is no dependency of the tests, and takes libFuzzer's arguments::

    python -m tests.fuzz.guided -max_total_time=60
"""

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does

with atheris.instrument_imports(include=["clientcreds_requests"]):
    from fuzz import corpus, parsers

from fuzz.cases import Case


def one(data: bytes) -> None:
    """Put an answer before the parsers; what they raise ends the run."""
    for target in ("token", "metadata"):
        case = Case(target, "close", data)
        try:
            parsers.run(case)
        except Exception:
            print(f"kept as {corpus.save(case, 'found-guided')}")
            raise


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as found:
        folders = [found, str(corpus.FOLDER)]
        atheris.Setup([*sys.argv, "-max_len=20000", *folders], one)
        atheris.Fuzz()
