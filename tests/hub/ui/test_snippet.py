from __future__ import annotations

import ast
import shlex
from dataclasses import replace

import pytest

from hub.jobs.model import Job, Kind
from hub.restoration import PhotoOptions
from hub.ui.snippet import ADDRESS, calls
from hub.ui.stage import download_name


def job(filename: str, **options: object) -> Job:
    spec = {**PhotoOptions(model_name="denoise_16").to_spec(), **options}
    made = Job.new(Kind.IMAGE, "denoise", spec, filename)
    return replace(made, result_path="/static_results/images/a.png", result={"model": "denoise_16"})


@pytest.mark.parametrize(
    "name",
    ["photo.png", "it's.png", "a b.png", '"; rm -rf $HOME.png', "a,b;c.png", "back\\slash.png", "ä ☃.png", "-o.png"],
)
def test_names_are_quoted_for_shell_and_python(name: str) -> None:
    made = calls(job(name), 0.5, key=False)

    sent, _, waited_and_fetched = made["curl"].partition(" | sed ")
    words = shlex.split(sent.replace("$(", " "))
    upload = next(word for word in words if word.startswith("image_file=@")).removeprefix("image_file=@")
    # As curl reads it: in quotes, a backslash stands before quotes and backslashes.
    read = upload[1:-1].replace('\\"', '"').replace("\\\\", "\\") if upload.startswith('"') else upload
    assert read == name
    assert "strength=0.5" in words
    output = waited_and_fetched.rpartition(" -o ")[2].partition(" \\\n")[0]
    assert shlex.split(output)[0].removeprefix("./") == download_name(job(name))
    assert not shlex.split(output)[0].startswith("-")
    call = ast.parse(made["python"]).body[1].body[0].value  # type: ignore[attr-defined]
    assert ast.literal_eval(call.args[0]) == name
    options = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    assert options["strength"] == 0.5
    assert options["model"] == "denoise_16"


def test_a_key_is_named_where_one_is_asked_for_but_never_written() -> None:
    open_, locked = (calls(job("a.png"), 1, key=key) for key in (False, True))

    assert "KEY" not in open_["curl"] + open_["python"]
    assert "$HUB_API_KEY" in locked["curl"]
    assert 'os.environ["HUB_API_KEY"]' in locked["python"]
    assert all(call.count(ADDRESS) == 1 for call in open_.values())
