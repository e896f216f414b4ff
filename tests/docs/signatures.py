"""Signatures as the reference writes them: those of the source, without `self`."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from pathlib import Path


@cache
def _methods(path: Path, cls: str) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    [found] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls]
    return {
        node.name: node
        for node in found.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def signatures(cls: type) -> dict[str, str]:
    """The signature of each public method that a class defines, by name.

    `async def put(data: bytes, *, digest: str | None = None) -> Digest`; a property is
    `name: type`, and the class itself, under "", is called like its constructor.
    """
    path = inspect.getsourcefile(cls)
    assert path is not None
    found = {}
    for name, node in _methods(Path(path), cls.__name__).items():
        arguments = ast.unparse(_without_self(node.args)).replace("'", '"')
        arguments = re.sub(r"(?<=[\w\])])=(?=\S)", " = ", arguments)  # as PEP 8 has it
        result = ast.unparse(node.returns) if node.returns else "None"
        prefix = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
        decorators = {ast.unparse(each) for each in node.decorator_list}
        if name == "__init__":
            found[""] = f"{cls.__name__}({arguments})"
        elif "property" in decorators:
            found[name] = f"{name}: {result}"
        elif not name.startswith("_"):
            if any(each.endswith("asynccontextmanager") for each in decorators):
                prefix = "async with"
            elif prefix == "async def" and result.startswith("AsyncIterator["):
                prefix = "async for"
            found[name] = f"{prefix} {name}({arguments}) -> {result}"
    return found


def _without_self(arguments: ast.arguments) -> ast.arguments:
    copy = ast.arguments(**{name: getattr(arguments, name) for name in arguments._fields})
    copy.args = arguments.args[1:]
    return copy
