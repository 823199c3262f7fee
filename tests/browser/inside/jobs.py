"""Calls the functions that a test asks for; this package runs in the page."""

from __future__ import annotations

import importlib
import json
import traceback
import warnings


def run(job: str) -> str:
    """Call a function of this package.

    :param job: JSON: its module and name, and its keyword arguments.
    :return: JSON: its result, or the traceback of its failure.
    """
    module, name, arguments = json.loads(job)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "auth.clientCredentials: You should NEVER")
            function = getattr(importlib.import_module(f"inside.{module}"), name)
            return json.dumps({"result": function(**arguments)})
    except BaseException:
        return json.dumps({"failure": traceback.format_exc()})
