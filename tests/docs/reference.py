"""Make REFERENCE.md from the docstrings: ``python -m tests.docs.reference``.

Public are the names in ``clientcreds_requests.__all__``, then those of each module without an
underscore: its ``__all__`` or, without one, the classes and functions that it defines. Of the
modules that the package exports from, only what signatures of exported names mention.
"""

from __future__ import annotations

import enum
import functools
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

try:
    from .pages import GUIDES, anchor
except ImportError:  # pytest imports the modules of this folder by their bare names
    from pages import GUIDES, anchor

import clientcreds_requests

REFERENCE = GUIDES / "REFERENCE.md"
PACKAGE = clientcreds_requests.__name__
_FIELD = re.compile(r"^:(\w+) ?([^:\n]*): *(.*(?:\n(?: +.*)?)*)", re.MULTILINE)
_ATTRIBUTE = r"(?:self\.)?([a-z]\w*)"
_RFC = re.compile(r"RFC (\d+)(?: (?:§|section )([\d.]*\d))?")
PLAIN = {"object", "ABC", "Protocol", "tuple"}
_HEAD = """# Reference

Every public name, made from the docstrings by `python -m tests.docs.reference`. A name is imported
from the module that heads its section. Durations are in seconds, unless it says otherwise.
"""


def sections() -> Iterator[tuple[ModuleType, list[str]]]:
    """The package and its public modules, each with the names that no section before it has."""
    seen = {id(value): name for name, value in exported().items()}
    yield clientcreds_requests, sorted(exported(), key=str.lower)
    core = {value.__module__ for value in exported().values()}
    for found in pkgutil.iter_modules(clientcreds_requests.__path__, f"{PACKAGE}."):
        if found.name.rpartition(".")[2].startswith("_"):
            continue
        module = importlib.import_module(found.name)
        names = [name for name in public_in(module) if id(getattr(module, name)) not in seen]
        if found.name in core:  # what the package exports, and what that is made of
            names = [name for name in names if name in mentioned()]
        seen |= {id(getattr(module, name)): name for name in names}
        if names:
            yield module, names


def exported() -> dict[str, Any]:
    return {name: getattr(clientcreds_requests, name) for name in clientcreds_requests.__all__}


@functools.cache
def mentioned() -> set[str]:
    """The names in the signatures of what the package exports."""
    text = "\n".join(part for item in exported().items() for part in entry(*item))
    return set(re.findall(r"\w+", "".join(re.findall(r"```python\n.*?```", text, re.DOTALL))))


def public_in(module: ModuleType) -> list[str]:
    """The public names of a module."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__, key=str.lower)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isroutine(value) or is_fixture(value))
        and getattr(inspect.unwrap(value), "__module__", None) == module.__name__
    ]


def is_fixture(value: Any) -> bool:
    return "Fixture" in type(value).__name__ or hasattr(value, "_pytestfixturefunction")


def reference() -> str:
    """The whole page."""
    parts, index = list[str](), list[str]()
    for module, names in sections():
        where = f"[`{module.__name__}`](#{anchor(module.__name__)})"
        index.append(f"- {where}: {', '.join(f'[`{n}`](#{anchor(n)})' for n in names)}")
        parts += [f"## {module.__name__}", prose(module.__doc__)]
        for name in names:
            parts += entry(name, getattr(module, name))
    return "\n\n".join([_HEAD.rstrip(), "\n".join(index), *filter(None, parts)]) + "\n"


def entry(name: str, value: Any) -> Iterator[str]:
    """A class with its members, a function or a constant."""
    yield f"### {name}"
    if is_fixture(value):
        yield f"Fixture of pytest. {prose(inspect.getdoc(value))}"
        return
    if not inspect.isclass(value):
        if inspect.isroutine(value):
            yield from described(name, value)
        else:
            yield f"`{value!r}`".replace("<", "").replace(">", "")
        return
    is_protocol = getattr(value, "_is_protocol", False)
    # A constructor that another package defines differs from version to version of that.
    module = getattr(value.__init__, "__module__", "clientcreds_requests")
    is_ours = module.startswith("clientcreds_requests")
    has_signature = is_ours and not is_protocol and not issubclass(value, enum.Enum)
    signature = arguments(value) if has_signature else ""
    yield f"```python\nclass {name}{signature}\n```"
    bases = [base.__name__ for base in value.__bases__ if base.__name__ not in PLAIN]
    bases = [base for base in bases if not base.startswith("_")]
    if is_protocol:
        yield "A protocol: any object with these members will do."
    elif bases:
        yield f"Bases: {', '.join(f'`{base}`' for base in bases)}."
    yield from fields(value, attributes(value))
    for member, attribute in sorted(vars(value).items()):
        if member.startswith("_") and member != "__call__":
            continue
        if isinstance(attribute, property):
            yield f"#### `{name}.{member}`\n\n{prose(attribute.fget.__doc__)}"
        elif inspect.isroutine(attribute) and inspect.getdoc(attribute):
            yield f"#### `{name}.{member}`"
            yield from described(member, attribute)


def attributes(value: type) -> Iterator[tuple[str, str]]:
    """Names and texts of attributes: those with a ``#:`` above them, or a docstring below."""
    code = inspect.getsource(value)
    for text, name in re.findall(rf"((?:^ +#: .*\n)+) +{_ATTRIBUTE}\b", code, re.MULTILINE):
        yield name, " ".join(re.findall(r"#: (.*)", text))
    yield from re.findall(rf'^ +{_ATTRIBUTE}: .*\n +"""(.*?)"""', code, re.MULTILINE)


def described(name: str, value: Any) -> Iterator[str]:
    """Signature and docstring of a function or method."""
    prefix = "classmethod " if isinstance(value, classmethod) else ""
    function = inspect.unwrap(getattr(value, "__func__", value))
    returned = shown(inspect.signature(function).return_annotation)
    arrow = f" -> {returned}" if returned else ""
    yield f"```python\n{prefix}{name}{arguments(function)}{arrow}\n```"
    yield from fields(function)


def arguments(value: Any) -> str:
    """The parameters of a callable, a line each if they are many."""
    texts, star = list[str](), False
    for parameter in parameters(value):
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            texts.append("*")
        star = star or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
        text = stars.get(parameter.kind, "") + parameter.name
        if annotation := shown(parameter.annotation):
            text += f": {annotation}"
        if parameter.default is not parameter.empty:
            text += f" = {shown_default(parameter.default)}"
        texts.append(text)
    line = f"({', '.join(texts)})"
    return line if len(line) < 80 else "(\n    " + ",\n    ".join(texts) + ",\n)"


def parameters(value: Any) -> list[inspect.Parameter]:
    """The parameters of a callable that are public."""
    function = value.__init__ if inspect.isclass(value) and "__init__" in vars(value) else value
    found = list(inspect.signature(function).parameters.values())
    if found and found[0].name in ("self", "cls"):
        found = found[1:]
    return [parameter for parameter in found if not parameter.name.startswith("_")]


def shown(annotation: Any) -> str:
    """An annotation as it is written in the source."""
    if annotation is inspect.Parameter.empty:
        return ""
    return str(getattr(annotation, "__forward_arg__", annotation)).strip("'")


def shown_default(default: Any) -> str:
    text = repr(default)
    return text if not text.startswith("<") else "..."


def fields(value: Any, attributes: Iterable[tuple[str, str]] = ()) -> Iterator[str]:
    """What a docstring says: its text, parameters, result, errors and sources."""
    text = inspect.cleandoc(value.__doc__ or "")
    yield prose(_FIELD.sub("", text))
    found = [(kind, what, " ".join(words.split())) for kind, what, words in _FIELD.findall(text)]
    attributes = list(attributes)
    rows = [f"| `{what}` | {cell(words)} |" for kind, what, words in found if kind == "param"]
    rows += [f"| `.{name}` | {cell(words)} |" for name, words in attributes]
    if rows:
        head = "| parameter or `.attribute` | |" if attributes else "| parameter | |"
        yield "\n".join([head, "|---|---|", *rows])
    for kind, what, words in found:
        if kind == "return":
            yield f"Returns {inline(words)}"
        elif kind == "raises":
            errors = ", ".join(f"`{error.strip()}`" for error in what.split(","))
            yield f"Raises {errors}: {inline(words)}"
    sources = dict.fromkeys(_RFC.findall(text))
    if sources:
        yield f"Source: {', '.join(source(*found) for found in sources)}."


def source(number: str, part: str) -> str:
    where = f"https://www.rfc-editor.org/rfc/rfc{number}"
    return f"[RFC {number} §{part}]({where}#section-{part})" if part else f"[RFC {number}]({where})"


def prose(text: str | None) -> str:
    """Text of a docstring as Markdown."""
    found, code = list[str](), list[str]()
    for paragraph in [*re.split(r"\n\s*\n", inspect.cleandoc(text or "")), ""]:
        if paragraph.startswith("    ") and found:
            code.append(paragraph)
            continue
        if code:
            listing = textwrap.dedent("\n\n".join(code))
            found.append(f"```python\n{listing}\n```")
            code = []
        found.append(inline(paragraph))
    return "\n\n".join(found).strip()


def inline(text: str) -> str:
    """The roles and literals of reST, as Markdown has them."""
    text = re.sub(r":(?:class|meth|attr):`~?([^`]+)`", linked, text)
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    return re.sub(r"(?<!:)::$", ":", text)


def linked(match: re.Match[str]) -> str:
    name = match[1]
    owner = name.partition(".")[0]
    is_ours = hasattr(clientcreds_requests, owner)
    return f"[`{name}`](#{anchor(name)})" if is_ours else f"`{name}`"


def cell(text: str) -> str:
    return inline(text).replace("|", "\\|")


if __name__ == "__main__":
    REFERENCE.write_text(reference(), encoding="utf-8")
