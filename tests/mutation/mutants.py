"""Mutants of a module: its source with one small change each."""

from __future__ import annotations

import ast
import copy
import difflib
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
FUNCTIONS = {"min": "max", "max": "min", "all": "any", "any": "all"}
BARE = (ast.Constant, ast.Name, ast.Call, ast.Tuple)
"""What needs no parentheses, wherever it stands."""

DELETABLE = (ast.Expr, ast.Assign, ast.AugAssign, ast.Raise, ast.Delete, ast.Break, ast.Continue)


class Mutant(NamedTuple):
    """One change.

    :param line: where it begins.
    :param rule: the name of the operator that made it.
    :param source: the whole module with it.
    """

    line: int
    rule: str
    source: str

    def diff(self, original: str, path: str) -> str:
        """What it changes."""
        before, after = original.splitlines(True), self.source.splitlines(True)
        lines = difflib.unified_diff(before, after, path, f"{path} ({self.rule})", n=1)
        return "".join(lines)


def mutants(source: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines."""
    tree = ast.parse(source)
    compile(tree, "original", "exec")
    made: dict[str, Mutant] = {}
    for node in _mutable(tree):
        for rule, changed in _changes(node):
            text = _replaced(source, node, changed)
            try:
                compile(text, "mutant", "exec")
            except SyntaxError:
                continue
            if ast.dump(ast.parse(text)) != ast.dump(tree):
                made.setdefault(text, Mutant(node.lineno, rule, text))
    return sorted(made.values())


def _mutable(node: ast.AST) -> Iterator[ast.expr | ast.stmt | ast.ExceptHandler]:
    """The nodes that do something: no annotation, docstring, assertion or error text."""
    for name, field in ast.iter_fields(node):
        if name in ("annotation", "returns") or (name == "exc" and isinstance(node, ast.Raise)):
            continue
        for child in field if isinstance(field, list) else [field]:
            if not isinstance(child, ast.AST) or _is_idle(child):
                continue
            if isinstance(child, (ast.expr, ast.stmt, ast.ExceptHandler)):
                yield child
            # What stands in an f-string has no place of its own before Python 3.12.
            if not isinstance(child, ast.JoinedStr):
                yield from _mutable(child)


def _is_idle(node: ast.AST) -> bool:
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assert, ast.Global, ast.Nonlocal)):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
        return True
    if isinstance(node, ast.Assign):
        names = {target.id for target in node.targets if isinstance(target, ast.Name)}
        return bool(names & {"__all__", "__slots__", "logger"})
    return False


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The changes of one node: the name of the operator, and what stands there instead."""

    def altered(change: Callable[[ast.AST], None]) -> ast.AST:
        twin = copy.deepcopy(node)
        change(twin)
        return twin

    def set_to(name: str, value: object) -> ast.AST:
        return altered(lambda twin: setattr(twin, name, value))

    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for other in COMPARISONS[type(operator)]:
                ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                yield "comparison", set_to("ops", ops)
    if isinstance(node, ast.BoolOp):
        yield "and/or", set_to("op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        for place in range(len(node.values)):
            values = node.values[:place] + node.values[place + 1 :]
            yield "operand", set_to("values", values) if len(values) > 1 else values[0]
    if isinstance(node, ast.UnaryOp):
        yield "sign" if not isinstance(node.op, ast.Not) else "not", node.operand
    if isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in ARITHMETIC:
        yield "arithmetic", set_to("op", ARITHMETIC[type(node.op)]())
    if isinstance(node, ast.Constant):
        yield from (("constant", ast.Constant(value)) for value in _other_constants(node.value))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
        yield "function", set_to("func", ast.Name(FUNCTIONS[node.func.id]))
    if isinstance(node, ast.IfExp):
        yield "condition", node.body
        yield "condition", node.orelse
    if isinstance(node, (ast.If, ast.While)):
        yield "condition", set_to("test", ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.Return) and node.value is not None:
        yield "return", ast.Return(ast.Constant(None))
    if isinstance(node, DELETABLE):
        yield "deletion", ast.Pass()
    if isinstance(node, ast.Break):
        yield "loop", ast.Continue()
    if isinstance(node, ast.Continue):
        yield "loop", ast.Break()
    if isinstance(node, ast.ExceptHandler) and node.type is not None:
        yield "handler", set_to("type", ast.Tuple([], ast.Load()))


def _other_constants(value: object) -> list[object]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, (int, float)):
        return [value + 1, value - 1 if value == 1 else value * 2 if value else -1]
    if isinstance(value, (str, bytes)):
        return [value + value[:1] if value else "_" if isinstance(value, str) else b"_"]
    return []


def _replaced(source: str, node: ast.expr | ast.stmt | ast.ExceptHandler, by: ast.AST) -> str:
    """The source with something else in a node's place; what has a body keeps it as written."""
    place: ast.AST = node
    if isinstance(node, (ast.If, ast.While)) and isinstance(by, (ast.If, ast.While)):
        place, by = node.test, by.test
    elif isinstance(node, ast.ExceptHandler) and isinstance(by, ast.ExceptHandler):
        assert node.type is not None
        assert by.type is not None
        place, by = node.type, by.type
    text = ast.unparse(by)
    if isinstance(by, ast.expr) and not isinstance(
        by, (ast.Constant, ast.Name, ast.Call, ast.Tuple)
    ):
        text = f"({text})"
    written = source.encode()
    begin, end = _span(written, place)
    return (written[:begin] + text.encode() + written[end:]).decode()


def _span(written: bytes, node: Any) -> tuple[int, int]:
    """Where a node begins and ends in the source."""
    starts = [0, *itertools.accumulate(map(len, written.splitlines(True)))]
    begin = starts[node.lineno - 1] + node.col_offset
    return begin, starts[node.end_lineno - 1] + node.end_col_offset
