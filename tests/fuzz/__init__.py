"""Fuzzing whatever reads bytes of a server: ``python -m tests.fuzz --help``."""
