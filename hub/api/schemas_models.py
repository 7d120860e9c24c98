"""Models on the wire: what there is to choose, what is loaded, and what loading and installing answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field


class ModelControl(BaseModel):
    """One model a page can offer."""

    value: str = Field(description="What to send as `model_name`.", examples=["denoise_16"])
    text: str = Field(description="What to show.", examples=["Uformer-16: any noise, fast"])
    installed: bool = Field(description="Whether its weights are here; else they are fetched on first use if allowed.")
    default: bool = Field(description="Whether it is taken when `model_name` is left out.")
    description: str = Field(
        examples=["A small denoiser for noise of unknown kind and strength, JPEG artefacts included."]
    )
    licence: str | None = Field(description="The licence of its weights.", examples=["MIT"])
    problem: str | None = Field(description="Why a model file cannot be used.", examples=[None])


class TaskControl(BaseModel):
    """One task and its models."""

    display_name: str = Field(examples=["Denoise"])
    default_model: str | None = Field(examples=["denoise_16"])
    models: list[ModelControl]


class PatchControl(BaseModel):
    """The patch processing switch."""

    available: bool
    default_checked: bool


class PageControl(BaseModel):
    """The switches of one page."""

    patch_processing: PatchControl


class PageControls(BaseModel):
    """The switches of every page."""

    live: PageControl
    image: PageControl
    video: PageControl


class Limits(BaseModel):
    """What an upload may be at most."""

    max_upload_mb: int = Field(examples=[512])
    max_megapixels: float = Field(description="Of a photo.", examples=[100.0])
    max_video_megapixels: float = Field(description="Of a clip's picture.", examples=[36.0])
    max_video_seconds: float = Field(examples=[14400.0])
    max_video_frames: int = Field(examples=[1000000])


class Controls(BaseModel):
    """All that a page needs to build itself."""

    tasks: dict[str, TaskControl] = Field(description="By what is sent as `task_type`.")
    page_controls: PageControls
    output_formats: list[str] = Field(
        description="Of photos.", examples=[["same", "png", "jpeg", "webp", "tiff", "avif"]]
    )
    codecs: list[str] = Field(description="Of videos.", examples=[["h264", "h265", "av1", "vp9", "prores", "lossless"]])
    limits: Limits


class LoadingStrategy(BaseModel):
    """When models are loaded."""

    load_all_on_startup: bool = Field(
        description="`true`: all installed models at the start. `false`: each when it is first needed."
    )


class ModelStatus(BaseModel):
    """Where one model stands."""

    name: str = Field(examples=["denoise_16"])
    task: str = Field(examples=["denoise"])
    installed: bool = Field(description="Whether its weights are here.")
    loaded: bool = Field(description="Whether it is in memory, ready to run.")
    loading: bool = Field(description="Whether it is being brought into memory.")
    in_use: int = Field(ge=0, description="How many jobs and live sockets use it now; then it is not unloaded.")
    bytes: int = Field(ge=0, description="What it takes in memory; 0 unless loaded.", examples=[21_300_000])
    backend: str | None = Field(description="What runs it; null unless loaded.", examples=["openvino-cpu-bfloat16"])


class DeviceStatus(BaseModel):
    """What the networks run on; what shows only once a model has been loaded is null before."""

    name: str | None = Field(examples=["Intel(R) Xeon(R) Processor"])
    kind: str | None = Field(examples=["cpu"])
    precision: str | None = Field(examples=["bfloat16"])
    memory_total: int | None = Field(ge=0, description="Bytes.", examples=[25_769_803_776])
    memory_free: int | None = Field(ge=0, description="Bytes.", examples=[17_179_869_184])
    model_memory_used: int = Field(ge=0, description="Bytes that loaded models take.", examples=[21_300_000])
    model_memory_budget: int = Field(ge=0, description="Bytes that they may take.", examples=[6_144_000_000])


class LoadedModels(BaseModel):
    """Every model, and the device."""

    models: list[ModelStatus]
    device: DeviceStatus


ModelNames = Annotated[
    list[str],
    Field(max_length=1000, description="Names of models; an empty list means all.", examples=[["denoise_16"]]),
]


class ChosenModels(BaseModel):
    """Which models are meant."""

    model_names: ModelNames = []


class ModelsLoaded(BaseModel):
    """What is loaded now."""

    loaded_models: list[str] = Field(
        description="The models that were asked for; those that were loaded before count.", examples=[["denoise_16"]]
    )


class ModelsUnloaded(BaseModel):
    """What was unloaded, and what was not."""

    unloaded_models: list[str] = Field(examples=[["denoise_b"]])
    skipped_models: list[str] = Field(
        description="Models that are in use or being loaded: they are never pulled away.", examples=[["denoise_16"]]
    )
