"""Where ``python -m tests.fuzz`` begins."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does

from fuzz.command import main

if __name__ == "__main__":
    sys.exit(main())
