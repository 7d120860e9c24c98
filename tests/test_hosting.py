"""The files by which the hub is hosted hold what they promise; tests/hosting/ runs the guide's proxy."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "hosting.md").read_text(encoding="utf-8")
Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    """The Dockerfile's, continued lines joined: ("COPY", "hub/ hub/")."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    lines = re.sub(r"\\\n\s*", "", code).splitlines()
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def arguments(name: str) -> list[str]:
    """What stands behind each instruction of that name."""
    return [rest for found, rest in instructions() if found == name]


def environment() -> dict[str, str]:
    """What the image sets."""
    return dict(pair.split("=", 1) for line in arguments("ENV") for pair in line.split())


def copied() -> list[str]:
    """The paths that come from the checkout, as they stand there."""
    return [path for line in arguments("COPY") if "--from" not in line for path in line.split()[:-1]]


def front_matter() -> dict[str, Any]:
    head = (ROOT / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    loaded: dict[str, Any] = yaml.safe_load(head)
    return loaded


def test_what_the_image_copies_exists_and_is_sent_to_the_builder() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for path in copied():
        assert (ROOT / path).exists(), path
    assert set(copied()) == kept
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()
    assert {"app.py", "hub/", "uformer/", "weights/"} <= kept
    shipped = json.loads((ROOT / "weights" / "manifest.json").read_text())
    assert any((ROOT / "weights" / model["file"]).is_file() for model in shipped["models"] if "file" in model)


def test_code_comes_after_what_it_needs() -> None:
    """So that a change of the code installs nothing anew."""
    steps = instructions()
    last_install = max(place for place, (_, rest) in enumerate(steps) if "pip install" in rest)
    first_code = min(place for place, (name, rest) in enumerate(steps) if name == "COPY" and "hub/" in rest)
    assert last_install < first_code
    installs = [rest for _, rest in steps if "pip install" in rest]
    assert "torch" in installs[0]
    assert installs[-1].endswith("--requirement requirements.txt")
    assert any("PIP_NO_CACHE_DIR=1" in line for line in arguments("ARG"))
    (apt,) = [rest for _, rest in steps if "apt-get install" in rest]
    assert "packages.txt" in apt
    assert apt.endswith("rm -rf /var/lib/apt/lists/*")


def test_the_image_listens_as_a_user_who_is_not_root() -> None:
    assert arguments("USER") == ["1000:1000"]
    assert arguments("EXPOSE") == [environment()["HUB_PORT"]] == ["7860"]
    assert environment()["HUB_HOST"] == "0.0.0.0"  # noqa: S104
    assert json.loads(arguments("VOLUME")[0]) == [environment()["HUB_DATA_DIR"]]
    assert json.loads(arguments("CMD")[0]) == ["python", "app.py"]
    named = {name.removeprefix("HUB_").lower() for name in environment() if name.startswith("HUB_")}
    assert named <= Settings.model_fields.keys()


def test_the_health_check_asks_the_hub(make_server: Callable[..., Any]) -> None:
    """The very command, against a hub that runs and against none."""
    (line,) = arguments("HEALTHCHECK")
    program, *rest = json.loads(line.partition("CMD ")[2])
    assert program == "python"
    server = make_server(page="0")

    def check() -> int:
        asked = {**os.environ, "HUB_PORT": str(server.port), "http_proxy": "http://127.0.0.1:9"}
        return subprocess.run([sys.executable, *rest], env=asked, capture_output=True, check=False).returncode

    assert check() == 1
    server.start()
    assert check() == 0


def test_packages_are_one_a_line() -> None:
    packages = (ROOT / "packages.txt").read_text().split("\n")
    assert packages[-1] == ""
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name) for name in packages[:-1])


def test_compose() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    hub, gpu = compose["services"]["hub"], compose["services"]["hub-gpu"]
    assert "profiles" not in hub
    assert gpu["profiles"] == ["gpu"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"]) == ("nvidia", 1)
    assert "gpu" in device["capabilities"]
    for service in (hub, gpu):
        assert service["restart"] == "unless-stopped"
        assert service["stop_grace_period"] == "15s"
        assert service["volumes"] == [f"{next(iter(compose['volumes']))}:{environment()['HUB_DATA_DIR']}"]
        assert service["ports"][0].endswith(f":{environment()['HUB_PORT']}")
        assert service["read_only"]
        assert service["env_file"] == [{"path": "hub.env", "required": False}]
        assert service["mem_limit"]
    assert (hub["build"]["args"]["TORCH"], gpu["build"]["args"]["TORCH"]) == ("${TORCH:-cpu}", "${TORCH:-cuda}")


def test_settings_that_are_named_exist() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8") + GUIDE
    of_compose = {"PUBLISH", "MEMORY"}
    assert set(re.findall(r"\bHUB_([A-Z_]+)\b", text)) - of_compose <= {name.upper() for name in Settings.model_fields}


def test_a_space_is_told_what_it_needs() -> None:
    space = front_matter()
    assert (space["sdk"], space["app_port"]) == ("docker", int(environment()["HUB_PORT"]))
    assert space["license"] == "mit"
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {space["colorFrom"], space["colorTo"]} <= colours
    assert 0 < len(space["short_description"]) <= 60
    assert space["title"]
    assert space["emoji"]
    assert space["tags"]


def test_a_gradio_space_gets_a_gradio_and_a_python_that_do() -> None:
    (head,) = re.findall(r"^```yaml\n---\n(.*?)^---\n```$", GUIDE, flags=re.DOTALL | re.MULTILINE)
    space = yaml.safe_load(head)
    shared = ("title", "emoji", "colorFrom", "colorTo", "license", "short_description")
    assert {name: space[name] for name in shared} == {name: front_matter()[name] for name in shared}
    assert space["sdk"] == "gradio"
    assert (ROOT / space["app_file"]).is_file()
    (bound,) = re.findall(r"^gradio>=([\d.]+)", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE)
    assert _version(space["sdk_version"]) >= _version(bound)
    assert _version(space["python_version"]) >= (3, 11)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    (unit,) = re.findall(r"^```ini\n(.*?)^```$", GUIDE, flags=re.DOTALL | re.MULTILINE)
    for path in ("/opt/uformer-hub/.venv/bin/python", "/opt/uformer-hub"):
        unit = unit.replace(path, sys.executable if path.endswith("python") else str(ROOT))
    file = tmp_path / "uformer-hub.service"
    file.write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, check=False
    )
    assert "uformer-hub" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_links_of_the_guide_lead_somewhere() -> None:
    text = re.sub(r"^```.*?^```$", "", GUIDE, flags=re.DOTALL | re.MULTILINE)
    headings = {
        re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        else:
            assert target.startswith("https://") or (ROOT / "docs" / target).is_file(), target


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))
