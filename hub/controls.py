"""What a page or a program can choose from here."""

from __future__ import annotations

from typing import Any

from hub.catalog import Catalog
from hub.restoration import OUTPUT_FORMATS
from hub.settings import Settings
from hub.video.options import CODECS


def controls(settings: Settings, catalog: Catalog) -> dict[str, Any]:
    """All that a page needs to build itself.

    {"tasks": {task: {"display_name", "default_model", "models": [{"value", "text", "installed", "default",
    "description", "licence", "problem"}]}},
    "page_controls": {"live"|"image"|"video": {"patch_processing": {"available", "default_checked"}}},
    "output_formats": [...], "codecs": [...],
    "limits": {"max_upload_mb", "max_megapixels", "max_video_megapixels", "max_video_seconds", "max_video_frames"}}
    """
    return {
        "tasks": {task: _task_controls(catalog, task, name) for task, name in catalog.tasks().items()},
        "page_controls": {
            "live": {"patch_processing": {"available": True, "default_checked": False}},
            "image": {"patch_processing": {"available": True, "default_checked": True}},
            "video": {"patch_processing": {"available": False, "default_checked": True}},
        },
        "output_formats": list(OUTPUT_FORMATS),
        "codecs": list(CODECS),
        "limits": {
            "max_upload_mb": settings.max_upload_mb,
            "max_megapixels": settings.max_megapixels,
            "max_video_megapixels": settings.max_video_megapixels,
            "max_video_seconds": settings.max_video_seconds,
            "max_video_frames": settings.max_video_frames,
        },
    }


def _task_controls(catalog: Catalog, task: str, display_name: str) -> dict[str, Any]:
    models = catalog.models(task)
    default = catalog.default_model(task).name if models else None
    return {
        "display_name": display_name,
        "default_model": default,
        "models": [
            {
                "value": entry.name,
                "text": entry.text,
                "installed": entry.installed,
                "default": entry.name == default,
                "description": entry.description,
                "licence": entry.licence,
                "problem": entry.problem,
            }
            for entry in models
        ],
    }
