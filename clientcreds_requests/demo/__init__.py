"""The main job on a local server, watched and counted: a cold start, renewals, a revocation, an
outage.

What is said of it comes from the server's own records. Only what callers alone can know is theirs
(what they were handed, how long it took), and the two are checked against each other.
"""

from .play import Demo
from .report import show
from .screen import Screen

__all__ = ["Demo", "Screen", "show"]
