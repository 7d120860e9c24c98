"""requirements.txt says what the program imports: no more, no less, and from no particular place."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [ROOT / "app.py", *sorted((ROOT / "hub").rglob("*.py")), *sorted((ROOT / "uformer").rglob("*.py"))]

PROMISED = ("gradio", "fastapi", "uvicorn", "torch", "einops", "timm", "opencv-python", "numpy", "imageio-ffmpeg")
# Needed by another package while it runs, so that no source file names them.
NEEDED_BY_OTHERS = {"python-multipart": "FastAPI reads forms with it"}


def declared(file: str) -> dict[str, str]:
    """The requirement lines of a file by package name in lower case with dashes."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
    return {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower().replace("_", "-"): line for line in lines if line}


def imported_packages(sources: list[Path] = SOURCES) -> set[str]:
    """Every top-level module from outside the standard library that these files import, lazily or not."""
    found: set[str] = set()
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"app", "hub", "uformer"}


def distributions_of(modules: set[str]) -> set[str]:
    """The packages that bring these modules."""
    by_module = packages_distributions()
    return {name.lower().replace("_", "-") for module in modules for name in by_module[module]}


@pytest.mark.parametrize("package", PROMISED)
def test_a_promised_package_is_declared_and_imported(package: str) -> None:
    assert package in declared("requirements.txt")
    assert package in distributions_of(imported_packages())


def test_everything_imported_is_declared() -> None:
    """Starlette comes with FastAPI, whose public interface hands out its classes. Whoever trains may want a curve."""
    assert distributions_of(imported_packages()) - {"starlette", "matplotlib"} <= set(declared("requirements.txt"))


def test_everything_the_tests_import_is_declared() -> None:
    imported = distributions_of(imported_packages(sorted((ROOT / "tests").rglob("*.py"))))
    assert imported - {"starlette"} <= set(declared("requirements.txt")) | set(declared("requirements-dev.txt"))


def test_everything_declared_is_imported() -> None:
    assert set(declared("requirements.txt")) - set(NEEDED_BY_OTHERS) <= distributions_of(imported_packages())


def test_uvicorn_brings_websockets() -> None:
    assert declared("requirements.txt")["uvicorn"].startswith("uvicorn[standard]")


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_each_package_has_a_lower_bound_and_no_address(file: str) -> None:
    for package, line in declared(file).items():
        assert re.search(r">=\d", line), f"{package} has no lower bound"
        assert "://" not in line
        assert not line.startswith("-")
