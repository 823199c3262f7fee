"""What the frozen values of this package have in common."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_):  # noqa: D103
        return lambda cls: cls


class _AsDataclass:
    """An attribute that the functions of ``dataclasses`` look for, made when they do."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, value: Value | None, owner: type[Value]) -> Any:
        dataclasses = sys.modules.get("dataclasses")
        if dataclasses is None:
            raise AttributeError(self._name)
        fields = [
            (name, Any, dataclasses.field(repr=name not in owner._secret))
            for name in owner.__match_args__
        ]
        return getattr(dataclasses.make_dataclass(owner.__name__, fields, frozen=True), self._name)


@dataclass_transform(frozen_default=True)
class Value:
    """A value: it is what its fields are, and they never change.

    The fields are what is annotated in the class, and what the constructor takes.

    It is what ``@dataclass(frozen=True)`` would make of it, and ``dataclasses`` take it for one.
    But to import them takes as long as half of this package, and every program would wait.
    """

    #: The fields.
    __match_args__: ClassVar[tuple[str, ...]] = ()
    #: What is annotated, and yet is no field.
    _aside: ClassVar[frozenset[str]] = frozenset()
    #: The fields that ``repr`` does not show.
    _secret: ClassVar[frozenset[str]] = frozenset()

    if not TYPE_CHECKING:  # type checkers know what a dataclass has
        __dataclass_fields__ = _AsDataclass()
        __dataclass_params__ = _AsDataclass()

        def __init__(self, *fields, **named):
            given = {**dict(zip(self.__match_args__, fields, strict=False)), **named}
            if given.keys() != {*self.__match_args__} or len(fields) + len(named) != len(given):
                raise TypeError(f"{type(self).__name__} takes {', '.join(self.__match_args__)}")
            self._set(**given)

        def __init_subclass__(cls):
            own = [name for name in cls.__annotations__ if name not in cls._aside]
            cls.__match_args__ = (*cls.__match_args__, *own)

        def __setattr__(self, name, _):
            raise _frozen()(f"cannot assign to field {name!r}")

        def __delattr__(self, name):
            raise _frozen()(f"cannot delete field {name!r}")

    def _set(self, **attributes: Any) -> None:
        """Fill the fields, in a constructor."""
        self.__dict__.update(attributes)

    def _fields(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self.__match_args__}

    def _with(self, **changes: Any) -> Self:
        """The same value, except for the changes; the constructor checks them."""
        return type(self)(**{**self._fields(), **changes})

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


def _frozen() -> type[AttributeError]:
    # Who catches the exception of dataclasses has imported them.
    error: type[AttributeError] = getattr(
        sys.modules.get("dataclasses"), "FrozenInstanceError", AttributeError
    )
    return error
