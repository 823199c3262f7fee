"""What the frozen values of this package have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

__all__ = ["Value", "value_class"]

if TYPE_CHECKING:
    from dataclasses import dataclass as value_class

    from typing_extensions import Self
else:
    T = TypeVar("T")

    def value_class(*, frozen: bool) -> Callable[[type[T]], type[T]]:  # noqa: ARG001
        """What stands for ``dataclasses.dataclass``, which type checkers see in its place."""

        def complete(cls):
            own = (name for name in cls.__annotations__ if name not in cls._aside)
            cls.__match_args__ = (*cls.__match_args__, *own)
            for name in ("__dataclass_fields__", "__dataclass_params__"):
                setattr(cls, name, _AsDataclass(cls, name))
            return cls

        return complete


class _AsDataclass:
    """An attribute that the functions of ``dataclasses`` look for, made when they do."""

    def __init__(self, kind: type[Value], name: str) -> None:
        self._kind, self._name = kind, name

    def __get__(self, value: Value | None, owner: type[Value]) -> Any:
        dataclasses, inspect = sys.modules.get("dataclasses"), sys.modules.get("inspect")
        if dataclasses is None or inspect is None:
            raise AttributeError(self._name)
        kind, fields = self._kind, list[tuple[str, Any, Any]]()
        parameters = inspect.signature(kind).parameters
        for name in kind.__match_args__:
            settings = {"repr": name not in kind._secret}
            if name in parameters and parameters[name].default is not inspect.Parameter.empty:
                settings["default"] = parameters[name].default
            fields.append((name, Any, dataclasses.field(**settings)))
        made = dataclasses.make_dataclass(kind.__name__, fields, frozen=True, init=False)
        for name in ("__dataclass_fields__", "__dataclass_params__"):
            setattr(kind, name, getattr(made, name))
        return getattr(kind, self._name)


class Value:
    """A value: it is what its fields are, and they never change.

    With the decorator above it is what ``@dataclass(frozen=True)`` would make of it, and
    ``dataclasses`` take it for one: its fields are what is annotated, and a constructor ends with
    ``__post_init__()``. But every program would wait for those to be imported, with ``inspect``
    and what that imports.
    """

    __match_args__: ClassVar[tuple[str, ...]] = ()
    #: What is annotated, and yet is no field.
    _aside: ClassVar[frozenset[str]] = frozenset()
    #: The fields that ``repr`` does not show.
    _secret: ClassVar[frozenset[str]] = frozenset()

    if not TYPE_CHECKING:  # type checkers know what a dataclass has

        def __init__(self, *fields, **named):
            given = {**dict(zip(self.__match_args__, fields, strict=False)), **named}
            if given.keys() != {*self.__match_args__} or len(fields) + len(named) != len(given):
                raise TypeError(f"{type(self).__name__} takes {', '.join(self.__match_args__)}")
            self._set(**given)

        def __setattr__(self, name, value):
            self._refuse("assign to", name)
            super().__setattr__(name, value)

        def __delattr__(self, name):
            self._refuse("delete", name)
            super().__delattr__(name)

    def __post_init__(self) -> None:
        """Check the fields, and complete them."""

    def _refuse(self, what: str, name: str) -> None:
        # As in a dataclass: who derives a class from one may give it attributes of its own.
        if name in self.__match_args__ or "__match_args__" in type(self).__dict__:
            # Who catches the exception of dataclasses has imported them.
            dataclasses = sys.modules.get("dataclasses")
            error = getattr(dataclasses, "FrozenInstanceError", AttributeError)
            raise error(f"cannot {what} field {name!r}")

    def _set(self, **attributes: Any) -> None:
        """Fill the fields, in a constructor."""
        self.__dict__.update(attributes)

    def _fields(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self.__match_args__}

    def __replace__(self, **changes: Any) -> Self:
        """The same value, except for the changes; for ``copy.replace()`` too.

        :raises TypeError, ValueError: as the constructor does.
        """
        for name in changes:
            if name not in self.__match_args__:
                raise TypeError(f"{type(self).__name__} has no {name!r}")
        twin = object.__new__(type(self))
        twin._set(**{**self.__dict__, **changes})
        twin.__post_init__()
        return twin

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value) or type(other) is not type(self):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(tuple(self._fields().values()))

    def __repr__(self) -> str:
        fields = self._fields().items()
        shown = (f"{name}={value!r}" for name, value in fields if name not in self._secret)
        return f"{type(self).__qualname__}({', '.join(shown)})"
