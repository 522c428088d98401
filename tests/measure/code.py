"""Reads the program's modules with `ast`: their definitions, docstrings, comments and imports. Nothing is imported."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Literal

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = Literal["module", "class", "function", "attribute"]

_DIRECTIVE = re.compile(r"#\s*(noqa|type:|pragma|fmt:|ruff:|!)")
_CLASS_LIKE = re.compile(r"_*[A-Z]\w*[a-z]\w*")


@dataclass(frozen=True)
class Docstring:
    """A docstring of what is public, and where it stands (`sync/cli.py:70 main`)."""

    kind: Documented
    where: str
    text: str

    @property
    def first_word(self) -> str:
        found = re.match(r"\W*([\w'-]+)", self.text)
        return found[1] if found else ""


@dataclass(frozen=True)
class Module:
    """A file of the program; `path` is relative to the project, with slashes."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All of the tree's."""
        return list(ast.walk(self.tree))

    @property
    def name(self) -> str:
        """The dotted name; a package's is that of its folder."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def room(self) -> str:
        """The folder, at most two deep."""
        return "/".join(self.path.split("/")[:-1][:2])

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @cached_property
    def functions(self) -> list[Function]:
        return [node for node in self.nodes if isinstance(node, Function)]

    @property
    def statements(self) -> int:
        """How many there are, docstrings left out."""
        return sum(isinstance(node, ast.stmt) and not _is_text(node) for node in self.nodes)

    @property
    def comments(self) -> int:
        """Lines with a comment for people; what speaks to a linter or a type checker is none."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return sum(each.type == tokenize.COMMENT and not _DIRECTIVE.match(each.string) for each in tokens)

    def class_names(self) -> Iterator[str]:
        """Yield the names of classes and of aliases that are written like classes, without leading underscores."""
        for node in self.tree.body:
            match node:
                case ast.ClassDef(name=name):
                    yield name.lstrip("_")
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=value)
                ) if _CLASS_LIKE.fullmatch(name) and value is not None and _last_name(value) != name:
                    yield name.lstrip("_")

    def docstrings(self) -> Iterator[Docstring]:
        """Yield the docstrings of the module and of all that is public in it, nested functions left out."""
        if text := ast.get_docstring(self.tree):
            yield Docstring("module", self.path, text)
        yield from self._docstrings_in(self.tree, "")

    def _docstrings_in(self, parent: ast.Module | ast.ClassDef, outer: str) -> Iterator[Docstring]:
        for node, follower in zip_longest(parent.body, parent.body[1:]):
            name = _public_name(node)
            if name is None:
                continue
            where = f"{self.path}:{node.lineno} {outer}{name}"
            if isinstance(node, ast.ClassDef | Function):
                if text := ast.get_docstring(node):
                    yield Docstring(_kind_of(node), where, text)
            elif follower is not None and (text := _is_text(follower)):
                yield Docstring("attribute", where, text)
            if isinstance(node, ast.ClassDef):
                yield from self._docstrings_in(node, f"{name}.")


@dataclass(frozen=True)
class Import:
    """One module that another imports; `late` inside a function, or for the type checker alone."""

    importer: str
    imported: str
    late: bool


def modules_of(root: Path, packages: tuple[str, ...]) -> list[Module]:
    """Return the modules of these packages below `root`, in their order."""
    paths = sorted(path for package in packages for path in (root / package).rglob("*.py"))
    return [Module(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def imports_of(modules: list[Module]) -> list[Import]:
    """Return which of these modules import which others, in whatever way they do."""
    known = {module.name for module in modules}
    return [each for module in modules for each in _imports_in(module, known)]


def _imports_in(module: Module, known: set[str]) -> Iterator[Import]:
    at_once = set(_run_at_once(module.tree))
    for node in module.nodes:
        for name in _imported(node) if isinstance(node, ast.Import | ast.ImportFrom) else ():
            found = name if name in known else name.rpartition(".")[0]
            if found in known and found != module.name:
                yield Import(module.name, found, late=node not in at_once)


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """Yield full names: of `from a import b` that of `b`, which may be a module or something in `a`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif node.module and not node.level:
        yield from dict.fromkeys(f"{node.module}.{alias.name}" for alias in node.names)


def _run_at_once(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function | ast.Lambda):
            continue
        if isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from _run_at_once(node)


def _is_text(node: ast.AST) -> str:
    """Return the text of a statement that is nothing but a string."""
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return text
    return ""


def _kind_of(node: ast.ClassDef | Function) -> Documented:
    """Return `attribute` for a property: its docstring says what it is, without a verb."""
    if isinstance(node, ast.ClassDef):
        return "class"
    names = {_last_name(each) for each in node.decorator_list}
    return "attribute" if names & {"property", "cached_property"} else "function"


def _public_name(node: ast.stmt) -> str | None:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return None if name.startswith("_") else name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return None if name.startswith("_") else name
    return None


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
