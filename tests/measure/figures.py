"""The figures, made of modules and their imports."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from tests.measure.code import Docstring, Function, Import, Module

WH_WORDS = frozenset({"what", "whether", "how", "where"})
_VERBS = """
accept acknowledge add admit adopt allow announce answer append apply approve arrange ask assert attach await back
begin bind block bring build call cancel carry catch change check choose claim clean clear close collect combine come
commit compare compile complete compute conclude connect convert copy count create cut decide declare decode decrypt
delete deliver derive describe detect discard discover do double draw drop emit empty encode end enforce enter escape
exchange execute expand explain export feed fetch fill filter find finish fix flush fold follow forget format freeze
gather generate get give go group guard guess handle has have hear hold import insert introduce is iterate join judge
keep kill know leave let limit list listen load lock log look lower make map mark match measure merge migrate move
name narrow normalise note notify obey offer open order own parse pass pick place point poll post prefer prepare print
probe project prove publish put quarantine quote raise read rebuild recall recognise record refresh refuse register
release reload remember remove rename render reopen repeat replace report request require reread reset resolve respond
rest restore resume retry return reuse rewrite round run save say scan schedule see select send serve set settle
shorten show shut skip sleep sort split spread stand start stop store strip substitute sum swap sweep synchronise take
tell tend test throw tidy translate trim truncate try turn undo unlock unpack update use validate verify wait wake
walk warn watch weigh work wrap write yield
"""
VERBS = frozenset(_VERBS.split())
"""What a docstring of a function begins with, here or elsewhere; also with an `s` at its end. No dictionary."""
UPWARD = ("connectors", "state")
"""Packages below `sync`: what they import of it is looked at."""


@dataclass(frozen=True)
class Figures:
    """`lists` has what stands behind some of the figures, by the name that `--list` takes."""

    values: Mapping[str, float]
    rooms: Mapping[str, int]
    lists: Mapping[str, Sequence[str]]


def figures_of(modules: list[Module], imports: list[Import]) -> Figures:
    """Return all figures of these modules."""
    documents = [each for module in modules for each in module.docstrings()]
    lists: dict[str, list[str]] = {
        "classes": list(_several(class_places(modules))),
        "modules": list(_several(module_places(modules))),
        "wh": [_line(each) for each in documents if is_wh(each)],
        "verbless": [_line(each) for each in documents if is_verbless(each)],
        "single": [f"{one} <- {other}" for one, other in single_importers(modules, imports)],
        "upward": list(_counted(upward(imports))),
        "circles": circles(each for each in imports if not each.late),
        "circles-late": circles(imports),
    }
    rooms: Counter[str] = Counter()
    for module in modules:
        rooms[module.room] += module.lines
    return Figures({**_sizes(modules), **_shares(modules, documents, lists)}, dict(sorted(rooms.items())), lists)


def _sizes(modules: list[Module]) -> dict[str, float]:
    files = sorted(module.lines for module in modules)
    lengths = [_length(function) for module in modules for function in module.functions]
    return {
        "files": len(files),
        "lines": sum(files),
        "file_median": statistics.median(files),
        "file_max": files[-1],
        "functions": len(lengths),
        "function_median": statistics.median(lengths),
        "function_p95": percentile(lengths, 95),
        "comments_per_100_statements": _per_100(
            sum(module.comments for module in modules), sum(module.statements for module in modules)
        ),
    }


def _shares(modules: list[Module], documents: list[Docstring], lists: Mapping[str, Sequence[str]]) -> dict[str, float]:
    functions = [each for each in documents if each.kind == "function"]
    return {
        "class_names": len(class_places(modules)),
        "class_names_several": len(lists["classes"]),
        "module_names_several": len(lists["modules"]),
        "docstrings": len(documents),
        "docstrings_wh": len(lists["wh"]),
        "docstrings_wh_percent": _per_100(len(lists["wh"]), len(documents)),
        "function_docstrings_wh_percent": _per_100(sum(map(is_wh, functions)), len(functions)),
        "function_docstrings_verbless": len(lists["verbless"]),
        "function_docstrings_verbless_percent": _per_100(len(lists["verbless"]), len(functions)),
        "modules_imported_once": len(lists["single"]),
        "upward_imports": sum(int(line.split()[0]) for line in lists["upward"]),
        "import_circles": len(lists["circles"]),
        "import_circles_late": len(lists["circles-late"]),
    }


def class_places(modules: Iterable[Module]) -> dict[str, list[str]]:
    """Return for each class name, or alias written like one, the modules that define it."""
    places: dict[str, list[str]] = defaultdict(list)
    for module in modules:
        for name in dict.fromkeys(module.class_names()):
            places[name].append(module.path)
    return places


def module_places(modules: Iterable[Module]) -> dict[str, list[str]]:
    """Return for each file name the folders that have one; `__init__` and `__main__` are no names."""
    places: dict[str, list[str]] = defaultdict(list)
    for module in modules:
        folder, _, name = module.path.rpartition("/")
        if not name.startswith("__"):
            places[name].append(folder)
    return places


def is_wh(docstring: Docstring) -> bool:
    return docstring.first_word.lower() in WH_WORDS


def is_verbless(docstring: Docstring) -> bool:
    """Return whether a function's docstring begins with no verb that is known here."""
    word = docstring.first_word.lower()
    forms = {word, word.removesuffix("s"), word.removesuffix("es"), f"{word.removesuffix('ies')}y"}
    return docstring.kind == "function" and forms.isdisjoint(VERBS)


def single_importers(modules: Iterable[Module], imports: Iterable[Import]) -> Iterator[tuple[str, str]]:
    """Yield the modules that exactly one other imports, with that one; packages are left out."""
    importers: dict[str, set[str]] = defaultdict(set)
    for each in imports:
        importers[each.imported].add(each.importer)
    for module in modules:
        if not module.path.endswith("__init__.py") and len(found := importers[module.name]) == 1:
            yield module.name, min(found)


def upward(imports: Iterable[Import]) -> Counter[str]:
    """Return how many modules of the packages below import which module of `sync`."""
    pairs = {(each.importer, each.imported) for each in imports}
    return Counter(
        imported
        for importer, imported in pairs
        if importer.split(".")[0] in UPWARD and imported.split(".")[0] not in UPWARD
    )


def circles(imports: Iterable[Import]) -> list[str]:
    """Return circles of imports: each that is found is cut at one place, until there are no more."""
    graph: dict[str, dict[str, None]] = defaultdict(dict)
    for importer, imported in sorted({(each.importer, each.imported) for each in imports}):
        graph[importer][imported] = None
    found: list[str] = []
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            backwards = error.args[1]  # each is imported by the one after it
            found.append(" -> ".join(reversed(backwards)))
            del graph[backwards[1]][backwards[0]]
        else:
            return found


def percentile(values: Sequence[int], percent: int) -> int:
    """Return the least of the values that at least so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _per_100(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def _several(places: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield those that stand in several places, the most frequent first."""
    for name, where in sorted(places.items(), key=lambda each: (-len(each[1]), each[0])):
        if len(where) > 1:
            yield f"{len(where)} {name}: {', '.join(where)}"


def _counted(counts: Counter[str]) -> Iterator[str]:
    yield from (f"{n} {name}" for name, n in sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def _line(docstring: Docstring) -> str:
    first, _, _ = docstring.text.strip().partition("\n")
    return f"{docstring.where}: {first}"
