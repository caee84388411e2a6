"""Evaluates formulas of multi graders, such as `0.7 * meaning + 0.3 * max(format, 0.5)`.

The grammar is OpenAI's: numbers, names of graders, `+ - * / ^`, parentheses, and the functions
`min max abs floor ceil exp sqrt log`. Python's parser reads it, and nothing else is allowed.
"""

from __future__ import annotations

import ast
import math
import operator
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from service.grading.errors import ItemFailed

_OPERATORS: Final[Mapping[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
}
_SIGNS: Final[Mapping[type[ast.unaryop], Callable[[float], float]]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_UNARY: Final[Mapping[str, Callable[[float], float]]] = {
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "log": math.log,
}
_VARIADIC: Final[Mapping[str, Callable[..., float]]] = {"min": min, "max": max}
FUNCTIONS: Final = (*_VARIADIC, *_UNARY)
_MAX_DEPTH: Final = 100  # bounds the recursion


class FormulaInvalid(ValueError):
    """The formula has a syntax error, an unknown name, or something that is not arithmetic."""


def check_formula(formula: str, names: Iterable[str]) -> None:
    """Check that a formula is arithmetic on the named graders. Raises FormulaInvalid."""
    known = set(names)
    for name in known:
        if not name.isidentifier() or name in FUNCTIONS:
            raise FormulaInvalid(
                f"A formula cannot refer to the grader {name!r}. Name it with letters, digits and "
                f"underscores, and not like a function."
            )
    _check(_parse(formula), {_key(name) for name in known}, _MAX_DEPTH)


def evaluate(formula: str, scores: Mapping[str, float]) -> float:
    """Return the value of a checked formula. Raises ItemFailed if it is not a finite number."""
    values = {_key(name): score for name, score in scores.items()}
    try:
        value = float(_value(_parse(formula), values))
    except FormulaInvalid as error:
        raise ItemFailed("formula_parse_error", str(error)) from error
    except (ArithmeticError, ValueError) as error:  # 1 / 0, sqrt(-1), exp(1000)
        raise ItemFailed(
            "other_error", f"The formula has no value for these scores: {error}."
        ) from error
    if not math.isfinite(value):
        raise ItemFailed("other_error", "The formula has no finite value for these scores.")
    return value


def _parse(formula: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as a keyword right after a number
            return ast.parse(formula.strip().replace("^", "**"), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise FormulaInvalid(
            "The formula is not arithmetic. Write it like '0.5 * a + 0.5 * b'."
        ) from error


def _check(node: ast.expr, names: set[str], depth: int) -> None:
    if depth == 0:
        raise FormulaInvalid("The formula is nested too deeply. Remove parentheses or signs.")
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return
        case ast.Name(id=name):
            if name not in names:
                raise FormulaInvalid(
                    f"The formula refers to {name!r}, which is not a grader. Graders: "
                    f"{', '.join(sorted(names))}."
                )
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _check(left, names, depth - 1)
            _check(right, names, depth - 1)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _SIGNS:
            _check(operand, names, depth - 1)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            _check_count(name, len(args))
            for arg in args:
                _check(arg, names, depth - 1)
        case _:
            raise FormulaInvalid(
                f"The formula may contain numbers, graders, + - * / ^, parentheses, and the "
                f"functions {', '.join(FUNCTIONS)}; column {node.col_offset + 1} has something "
                f"else."
            )


def _check_count(name: str, count: int) -> None:
    if name in _UNARY and count != 1:
        raise FormulaInvalid(f"The function {name} takes one argument, but has {count}.")
    if name in _VARIADIC and count < 2:
        raise FormulaInvalid(f"The function {name} takes at least two arguments.")


def _value(node: ast.expr, values: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left, values), _value(right, values))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _SIGNS:
            return _SIGNS[type(op)](_value(operand, values))
        case ast.Call(func=ast.Name(id=name), args=[arg]) if name in _UNARY:
            return float(_UNARY[name](_value(arg, values)))
        case ast.Call(func=ast.Name(id=name), args=args) if name in _VARIADIC and args:
            return float(_VARIADIC[name](_value(arg, values) for arg in args))
        case _:
            raise FormulaInvalid("The formula is not arithmetic on the graders.")


def _key(name: str) -> str:
    """Return the name as Python's parser writes it."""
    return unicodedata.normalize("NFKC", name)
