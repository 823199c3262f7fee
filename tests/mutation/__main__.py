"""Make small changes to the core, one at a time, and see whether a test notices:
``python -m tests.mutation [module ...]``; ``--help`` tells what can be chosen.

A mutant is tried against those tests of its module (``plan.py`` says which) that reach the
changed line, the quickest first, on a copy of the tree. ``SURVIVORS.md`` explains those that
nothing can notice.
"""

from __future__ import annotations

import argparse
import random
import time
from math import inf
from pathlib import Path

from .mutants import Mutant, mutants
from .plan import TESTS
from .trials import Trials, path_of

ROOT = Path(__file__).parents[2]


def main() -> None:
    arguments = parser().parse_args()
    report = [f"{'module':17} mutants  tried killed timeout survived"]
    survivors = []
    modules = arguments.modules or list(TESTS)
    with Trials(ROOT, modules, arguments.budget, arguments.lock) as trials:
        for module in modules:
            original = trials.source(module)
            made = mutants(original)
            chosen = sample(module, made, None if arguments.all else arguments.sample)
            count = dict.fromkeys(("killed", "timeout", "survived"), 0)
            began = time.monotonic()
            for mutant in chosen:
                verdict = trials.try_out(module, mutant)
                count[verdict] += 1
                if verdict == "survived":
                    survivors.append(mutant.diff(original, path_of(module)))
                    print(survivors[-1], flush=True)
            figures = "{killed:6} {timeout:7} {survived:8}".format(**count)
            report.append(f"{module:17} {len(made):7} {len(chosen):6} {figures}")
            print(report[-1], f" in {time.monotonic() - began:.0f} s", flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join([*report, "", *survivors]))
    print("\n".join(report))


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    add = result.add_argument
    add("modules", nargs="*", metavar="module", choices=[*TESTS, []], help="default: all")
    add("--sample", type=int, default=40, metavar="N", help="mutants per module (%(default)s)")
    add("--all", action="store_true", help="every mutant; takes hours")
    add("--budget", type=float, default=inf, metavar="S", help="seconds of tests per mutant")
    add("--output", type=Path, metavar="FILE", help="write the figures and the survivors there")
    add("--lock", type=Path, metavar="FILE", help="share this flock with others, mutant by mutant")
    return result


def sample(module: str, made: list[Mutant], size: int | None) -> list[Mutant]:
    """The same ones in every run, until the module changes; a larger sample has the smaller."""
    if size is None or size >= len(made):
        return made
    shuffled = list(made)
    random.Random(module).shuffle(shuffled)
    return sorted(shuffled[:size])


if __name__ == "__main__":
    main()
