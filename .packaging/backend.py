"""The build backend of setuptools, reading MANIFEST.in here: the top level is for readers."""

from setuptools.build_meta import *  # noqa: F403
from setuptools.command.egg_info import manifest_maker

manifest_maker.template = ".packaging/MANIFEST.in"
