"""The house rule: imports point one way, app → hub.api and hub.ui → hub core → uformer, lazy imports included."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [ROOT / "app.py", *sorted((ROOT / "hub").rglob("*.py")), *sorted((ROOT / "uformer").rglob("*.py"))]

MAY_IMPORT = {
    "app": {"app", "hub.api", "hub.ui", "hub", "uformer"},
    "hub.api": {"hub.api", "hub", "uformer"},
    "hub.ui": {"hub.ui", "hub", "uformer"},
    "hub.client": {"hub.client"},
    "hub.cli": {"hub.cli", "hub.client", "hub", "uformer"},
    "hub.__main__": {"hub.cli"},
    "hub": {"hub", "uformer"},
    "uformer": {"uformer"},
}
WEB = {"fastapi", "starlette", "gradio", "gradio_client", "uvicorn"}
SCIENCE = {"torch", "einops", "timm", "numpy", "safetensors"}
OPENVINO = "uformer.openvino_"
# Packages that only some modules of uformer import: OpenCV is there for its optical flow, and to read photos.
TRAINING, EVALUATION = "uformer.training", "uformer.evaluation"
ONLY_IN = {"openvino": OPENVINO, "cv2": ("uformer.temporal", TRAINING, EVALUATION), "matplotlib": TRAINING}


@dataclass(frozen=True)
class Import:
    """One imported name: `name` in full dots, whether it is imported when its module is, and where it stands."""

    importer: str
    name: str
    lazy: bool
    place: str

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer(module: str) -> str | None:
    """The house's layer of a module; None for modules from elsewhere."""
    return next((name for name in MAY_IMPORT if module == name or module.startswith(name + ".")), None)


def imported_names(node: ast.AST, package: list[str]) -> list[str]:
    """The full names that one statement or call imports; `package` resolves relative ones."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else []
        source = ".".join([*above, *([node.module] if node.module else [])])
        return [f"{source}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if function in {"import_module", "__import__"}:
            return [str(node.args[0].value)]
    return []


def imports_of(path: Path) -> Iterator[Import]:
    module = module_name(path)
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]

    def walk(node: ast.AST, lazy: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            for name in imported_names(child, package):
                yield Import(module, name, lazy, f"{path.relative_to(ROOT)}:{getattr(child, 'lineno', 0)}")
            yield from walk(child, lazy or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    yield from walk(ast.parse(path.read_text(encoding="utf-8"), str(path)), lazy=False)


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    return [found for path in SOURCES for found in imports_of(path)]


def test_layers_import_only_downwards(imports: list[Import]) -> None:
    wrong = [
        f"{found.place}: {found.importer} imports {found.name}"
        for found in imports
        if (target := layer(found.name)) and target not in MAY_IMPORT[layer(found.importer) or ""]
    ]
    assert wrong == []


def test_uformer_imports_only_its_few_packages(imports: list[Import]) -> None:
    """OpenVINO is for the modules named after it, OpenCV for the one that needs optical flow."""
    allowed = SCIENCE | sys.stdlib_module_names | {"uformer"}
    wrong = [
        f"{found.place}: {found.name}"
        for found in imports
        if layer(found.importer) == "uformer"
        and found.package not in allowed
        and not found.importer.startswith(ONLY_IN.get(found.package, "nowhere"))
    ]
    assert wrong == []


def test_openvino_is_loaded_only_where_it_runs(imports: list[Import]) -> None:
    wrong = [
        f"{found.place}: {found.name}"
        for found in imports
        if found.name.startswith((OPENVINO, "openvino")) and not found.importer.startswith(OPENVINO) and not found.lazy
    ]
    assert wrong == []


def test_hub_core_knows_no_web_framework(imports: list[Import]) -> None:
    wrong = [f"{f.place}: {f.name}" for f in imports if layer(f.importer) in ("hub", "hub.cli") and f.package in WEB]
    assert wrong == []


def test_jobs_load_no_torch() -> None:
    """Checked in a fresh process, so that a torch imported by way of another module is found too."""
    modules = [module_name(path) for path in sorted((ROOT / "hub" / "jobs").rglob("*.py"))]
    code = f"import sys, {', '.join(modules)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_rule_is_checked_for_every_kind_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "import torch.nn\n"
        "from hub import api\n"
        "def f():\n"
        "    from ..ui.page import build_page\n"
        "    import importlib\n"
        "    importlib.import_module('gradio')\n"
    )
    path = tmp_path / "hub" / "media" / "image.py"
    path.parent.mkdir(parents=True)
    path.write_text(source, encoding="utf-8")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    found = {(item.name, item.lazy) for item in imports_of(path)}
    assert found >= {
        ("torch.nn", False),
        ("hub.api", False),
        ("hub.ui.page.build_page", True),
        ("gradio", True),
    }
    assert layer("hub.ui.page.build_page") == "hub.ui"
    assert layer("hub.jobs") == "hub"
    assert layer("hubris") is None
