# SPDX-License-Identifier: MIT
"""Arithmetic of derived columns, such as ``10 * HAEMOGLOBINS / ERYTHROCYTE``, without `eval`."""

import ast
import operator

import numpy as np

from mcrage.errors import UserError

_BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_UNARY = {ast.USub: operator.neg, ast.UAdd: operator.pos}


def names(formula: str) -> list[str]:
    """Return the columns that a formula uses, sorted.

    Raises
    ------
    UserError
        If it is not plain arithmetic.
    """
    tree = _parse(formula)
    _check(tree, formula)
    return sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})


def evaluate(formula: str, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Compute a derived column.

    Parameters
    ----------
    formula : str
        Numbers, column names, ``+ - * / **`` and parentheses.
    columns : dict of str to ndarray of float64, shape (n,)

    Returns
    -------
    ndarray of float64, shape (n,)
        Division by zero gives inf or NaN, as numpy does.

    Raises
    ------
    UserError
        If the formula is not plain arithmetic or names a column that is not given.
    """
    missing = [name for name in names(formula) if name not in columns]
    if missing:
        raise UserError(
            f"formula '{formula}': no column {', '.join(missing)}; "
            f"it may use {', '.join(sorted(columns))}."
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(_evaluate(_parse(formula), columns), dtype=np.float64)


def _parse(formula: str) -> ast.expr:
    try:
        return ast.parse(formula, mode="eval").body
    except SyntaxError:
        raise UserError(f"formula '{formula}': not arithmetic; write e.g. '10 * A / B'.") from None


def _check(node: ast.expr, formula: str) -> None:
    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            return
        case ast.Name():
            return
        case ast.BinOp() if type(node.op) in _BINARY:
            _check(node.left, formula)
            _check(node.right, formula)
        case ast.UnaryOp() if type(node.op) in _UNARY:
            _check(node.operand, formula)
        case _:
            raise UserError(
                f"formula '{formula}': '{ast.unparse(node)}' is not allowed; "
                "use numbers, column names, + - * / ** and parentheses."
            )


def _evaluate(node: ast.expr, columns: dict[str, np.ndarray]) -> np.ndarray | float:
    match node:
        case ast.Constant():
            return float(node.value)
        case ast.Name():
            return columns[node.id]
        case ast.BinOp():
            left, right = _evaluate(node.left, columns), _evaluate(node.right, columns)
            return _BINARY[type(node.op)](left, right)
        case ast.UnaryOp():
            return _UNARY[type(node.op)](_evaluate(node.operand, columns))
    raise AssertionError("checked by _check")
