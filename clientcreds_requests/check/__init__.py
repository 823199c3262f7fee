"""What a token endpoint accepts: found out by asking, shown as a table and as Python to paste."""

from .run import check

__all__ = ["check"]
