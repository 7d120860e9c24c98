from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hub.errors import Busy, Conflict, HubError, TooLarge, TooManyRequests
from hub.jobs.model import Job, Kind, Status
from hub.ui import language
from hub.ui.language import say
from hub.ui.problems import explain, explain_job

WORDS = json.loads((Path(language.__file__).parent / "locales" / "en.json").read_text("utf-8"))
SOURCES = "".join(path.read_text("utf-8") for path in Path(language.__file__).parent.parent.rglob("*.py"))


def test_an_error_is_explained_with_its_figures() -> None:
    error = TooLarge("too_many_pixels", "Too many.", {"width": 9000, "height": 8000, "max_pixels": 36_000_000})

    assert explain(error) == say("error_too_many_pixels", width=9000, height=8000, max_megapixels=36)
    assert "512 MB" in explain(TooLarge("upload_too_large", "Too large.", {"max_bytes": 512_000_000}))
    long = TooLarge("too_long", "Too long.", {"seconds": 20_000.0, "max_seconds": 14_400.0})
    assert "5 h 33 min" in explain(long)
    assert "4 h" in explain(long)


def test_who_is_to_wait_is_told_how_long() -> None:
    assert "30 s" in explain(TooManyRequests("Too often.", retry_after=30))
    assert "2 min" in explain(Busy("queue_full", "Full.", retry_after=120))


@pytest.mark.parametrize(
    "error", [HubError("brand_new", "What the hub says."), HubError("too_many_pixels", "What the hub says.")]
)
def test_what_has_no_words_is_said_as_the_hub_says_it(error: HubError) -> None:
    assert explain(error) == "What the hub says."


def test_models_are_called_as_the_page_calls_them() -> None:
    for name, called in (("deblur_b", say("model_name_deblur_b")), ("my_own", "my_own")):
        error = Conflict("weights_not_installed", "Raw.", {"model_name": name, "command": f"fetch {name}"})
        assert explain(error) == say("error_weights_not_installed", model_name=called, command=f"fetch {name}")


def test_a_failed_job_is_explained() -> None:
    job = replace(Job.new(Kind.IMAGE, "denoise", {"model_name": "denoise_b"}, "a.png"), status=Status.FAILED)

    assert explain_job(replace(job, error_code="out_of_memory", error="Raw.")) == say("error_out_of_memory")
    assert explain_job(replace(job, error_code="unheard_of", error="Raw.")) == "Raw."
    assert explain_job(job) == say("server_error")


@pytest.mark.parametrize("key", sorted(key for key in WORDS if key.startswith("error_")))
def test_every_code_that_has_words_is_one_of_the_hubs(key: str) -> None:
    assert f'"{key.removeprefix("error_")}"' in SOURCES
