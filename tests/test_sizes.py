"""The limits that keep the code readable: lines of a file, arguments of a function."""

from __future__ import annotations

import ast
from pathlib import Path

import metalstm

PACKAGE = Path(metalstm.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES, MOST_ARGUMENTS = 300, 7  # the kernel's passes take their buffers one by one


def arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many arguments a function names, but for `self` and `cls`."""
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def test_arguments_are_counted() -> None:
    method, plain = ast.parse("def f(self, a, /, b, *, c=1): ...\ndef g(a, *b, **c): ...").body
    assert isinstance(method, ast.FunctionDef)
    assert isinstance(plain, ast.FunctionDef)
    assert (arguments(method), arguments(plain)) == (3, 1)


def test_no_file_is_too_long() -> None:
    assert len(FILES) > 200
    assert [path.name for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > MOST_LINES] == []


def test_no_function_takes_too_many_arguments() -> None:
    functions = [
        node
        for path in FILES
        if "kernel" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert len(functions) > 1000
    assert [node.name for node in functions if arguments(node) > MOST_ARGUMENTS] == []
