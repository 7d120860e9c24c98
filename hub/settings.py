"""Every knob of the hub, read once from the environment (prefix `HUB_`)."""

from __future__ import annotations

import json
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from hub.errors import InvalidInput
from hub.keys import SHORTEST_KEY, digest_of, is_key
from uformer.devices import CPU_TILE_PIXELS, WHOLE_PIXELS

CHECKOUT = Path(__file__).resolve().parent.parent
OFFICIAL_WEIGHTS = "https://huggingface.co/CaveMindLabs/uformer-restoration-models/resolve/main"


def _split(value: Any) -> Any:
    """A list as written in the environment: JSON, or words with commas between them."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def _split_keys(value: Any) -> Any:
    """The same for keys: something that holds none would let everybody in, so only nothing at all may do that."""
    keys = _split(value)
    if isinstance(value, str) and not keys:
        raise ValueError("there is no key in it; write keys with commas between them, or leave it empty for none")
    return keys


def _digest(key: str) -> str:
    """What is kept of an API key, which may also be given in its place."""
    if re.fullmatch("sha256:[0-9a-f]{64}", key):
        return key
    if len(key) < SHORTEST_KEY:
        raise ValueError(
            f"a key must have at least {SHORTEST_KEY} characters; `python -m hub key` makes one that cannot be guessed"
        )
    if not is_key(key):
        raise ValueError(
            "a key consists of letters, digits and characters such as -._~+/ without spaces, and may end with = or ==; "
            "`python -m hub key` makes one"
        )
    return digest_of(key)


def _network(address: str) -> str:
    """As the server takes it, which would silently trust nobody for bits beyond the network's."""
    return address if address == "*" else str(ip_network(address, strict=False))


Words = Annotated[list[str], NoDecode, BeforeValidator(_split)]
Keys = Annotated[list[Annotated[str, AfterValidator(_digest)]], NoDecode, BeforeValidator(_split_keys)]


class Settings(BaseSettings):
    """The hub's settings; each field is read from `HUB_<FIELD>` and described by `python -m hub settings`."""

    model_config = SettingsConfigDict(env_prefix="HUB_", extra="ignore", frozen=True, env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    root_path: str = Field("", description="Sub-path under which a reverse proxy serves the hub, such as /restore.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="How much is logged.")

    data_dir: Path = Field(
        CHECKOUT / "data", description="Everything the hub writes, but for what has a folder of its own."
    )
    results_dir: Path | None = Field(
        None, description="Finished files. Default: static_results of the checkout, or inside HUB_DATA_DIR when set."
    )
    weights_dir: Path = Field(CHECKOUT / "weights", description="Manifest, shipped models, and your own model files.")
    graphs_dir: Path | None = Field(
        None,
        description="Graphs compiled for this processor; hubs on machines with the same one may share them. "
        "Default: cache in data_dir.",
    )
    database_url: str | None = Field(None, description="SQLAlchemy URL of the jobs table. Default: SQLite in data_dir.")

    device: str = Field("auto", description="auto, cpu, cuda, or cuda:N.")
    precision: Literal["auto", "bfloat16", "float32"] = Field(
        "auto", description="auto is what is faster on this hardware."
    )
    cpu_backend: Literal["auto", "openvino", "torch"] = Field("auto", description="What runs networks on a CPU.")
    threads: int | None = Field(None, ge=1, description="CPU threads for the network. Default: all cores.")
    tile: int | None = Field(
        None, ge=128, description="Side of a tile in pixels, a multiple of 128. Default: planned for each photo."
    )
    overlap: int = Field(64, ge=0, le=512, description="Pixels by which neighbouring tiles overlap.")
    tile_megapixels: float | None = Field(
        None,
        ge=0.017,
        description="Largest planned tile in megapixels. Default: 0.6; on a GPU what a quarter of its memory holds.",
    )
    whole_megapixels: float | None = Field(
        None,
        ge=0.017,
        description="Largest photo, sides rounded up to multiples of 128, that goes through in one piece when patch "
        "processing is off. Default: 1.05; on a GPU at least the largest tile.",
    )
    model_memory_mb: int = Field(6144, ge=64, description="Memory for loaded models; the least recently used go first.")
    batch_ms: float = Field(250.0, gt=0, description="Batches are capped at this many predicted milliseconds.")
    auto_fetch: bool = Field(
        True,
        description="Download official weights when a job first asks for them. "
        "POST /api/install_models does so in any case; HUB_OPERATOR_KEYS says who may call it.",
    )
    fetch_urls: list[str] = Field(
        [OFFICIAL_WEIGHTS], min_length=1, description="Base addresses of official weights, tried in order (JSON list)."
    )

    image_workers: int = Field(4, ge=1, description="Photos in progress at once (they share one engine).")
    video_workers: int = Field(1, ge=1, description="Clips in progress at once (they share one engine).")
    queue_limit: int = Field(200, ge=1, description="Jobs that may wait; beyond it new ones get 503.")
    max_upload_mb: int = Field(512, ge=1, description="Largest upload in megabytes.")
    max_megapixels: float = Field(100.0, gt=0, description="Largest photo in megapixels, checked from its header.")
    decode_seconds: float = Field(60.0, gt=0, description="Time a decoder may take before it is killed.")
    decode_memory_mb: int = Field(4096, ge=512, description="Memory a decoder process may use.")
    max_video_seconds: float = Field(14_400.0, gt=0, description="Longest clip in seconds, checked from its header.")
    max_video_megapixels: float = Field(36.0, gt=0, description="Largest picture of a clip in megapixels.")
    max_video_frames: int = Field(1_000_000, ge=1, description="Most frames of a clip.")
    video_memory_mb: int = Field(8192, ge=1024, description="Memory a process that decodes or encodes a clip may use.")
    segment_seconds: float = Field(
        2.0, gt=0, le=60, description="Length of the pieces in which clips are restored: what a crash can cost."
    )
    hardware_encoders: bool = Field(
        False, description="Encode clips with graphics hardware where a frame encoded for a test succeeds."
    )
    min_free_mb: int = Field(512, ge=0, description="Uploads are refused when less disk space than this is free.")

    load_all_on_startup: bool = Field(False, description="Load all installed models at the start, not on first use.")

    clean_up: bool = Field(True, description="Delete abandoned and expired results automatically.")
    clean_up_minutes: float = Field(30.0, gt=0, description="Minutes from one automatic clean-up to the next.")
    abandoned_minutes: float = Field(
        60.0, ge=0, description="A result that nobody confirmed stays at least so long after it was finished,"
    )
    heartbeat_minutes: float = Field(7.0, ge=0, description="and at least so long after its last heartbeat.")
    keep_image_minutes: float = Field(10.0, ge=0, description="How long a downloaded photo is kept.")
    keep_video_minutes: float = Field(60.0, ge=0, description="How long a downloaded clip is kept.")
    keep_failed_hours: float = Field(
        24.0, ge=0, description="How long failed and cancelled jobs are remembered, and a failed clip can be resumed."
    )

    live_clients: int = Field(16, ge=1, description="Live sockets that may be open at once.")
    live_max_megapixels: float = Field(1.0, gt=0, description="Largest live frame in megapixels.")
    live_max_frame_kb: int = Field(4096, ge=16, description="Largest live frame in kilobytes, as sent.")
    live_max_fps: float = Field(30.0, gt=0, description="Frames per second that a live socket may get back.")
    live_max_mb_per_second: float = Field(
        16.0, gt=0, description="Megabytes per second that are read from a live socket; more is read more slowly."
    )

    api_keys: Keys = Field(
        [],
        description="Keys that the API asks for, with commas between them: plain, or `sha256:` and their SHA-256, "
        "which `python -m hub key` prints. Empty: none is asked for.",
    )
    operator_keys: Keys = Field(
        [],
        description="Keys of the operator, in the same form; with any set, only they may install models, and on the "
        "page load and unload them and clear the cache.",
    )
    rate_limit: str | None = Field(
        None, description="Requests to the API per key or address, such as 100/minute;2000/hour. Default: no limit."
    )
    trusted_proxies: Annotated[list[Annotated[str, AfterValidator(_network)]], NoDecode, BeforeValidator(_split)] = (
        Field(
            ["127.0.0.1", "::1"],
            description="Addresses or networks of the proxies whose X-Forwarded-For is believed; with * clients choose "
            "their own address, unless every request passes a proxy that replaces the header.",
        )
    )
    cors_origins: Words = Field([], description="Origins of other sites' pages that may call the API; * for all.")
    page: bool | None = Field(
        None, description="Serve the page, which asks for no key. Default: unless HUB_API_KEYS is set."
    )
    log_format: Literal["text", "json"] = Field("text", description="How log lines are written.")

    @model_validator(mode="after")
    def _check(self) -> Settings:
        if self.tile is not None and self.tile % 128:
            raise ValueError(f"HUB_TILE must be a multiple of 128, not {self.tile}.")
        # A GPU's defaults are larger.
        tile = 1e6 * self.tile_megapixels if self.tile_megapixels else CPU_TILE_PIXELS
        whole = 1e6 * self.whole_megapixels if self.whole_megapixels else WHOLE_PIXELS
        side = self.tile or int(min(tile, whole) ** 0.5) // 128 * 128
        if 2 * self.overlap > side:
            raise ValueError(
                f"The overlap (HUB_OVERLAP) must be at most half a tile, {side // 2} pixels here, not {self.overlap}."
            )
        return self

    @property
    def resolved_results_dir(self) -> Path:
        """Where results go once the default is worked out."""
        if self.results_dir is not None:
            return self.results_dir
        if "data_dir" in self.model_fields_set:
            return self.data_dir / "static_results"
        return CHECKOUT / "static_results"

    @property
    def resolved_graphs_dir(self) -> Path:
        """Where compiled graphs are kept once the default is worked out."""
        return self.graphs_dir or self.data_dir / "cache"

    @property
    def serves_page(self) -> bool:
        """Whether the page is served once the default is worked out."""
        return not self.api_keys if self.page is None else self.page

    @property
    def resolved_database_url(self) -> str:
        """The jobs table's SQLAlchemy URL once the default is worked out."""
        return self.database_url or f"sqlite:///{self.data_dir / 'hub.sqlite3'}"


def read_settings(**asked: Any) -> Settings:
    """The settings that the environment asks for, fields named in `asked` taking precedence.

    Raises InvalidInput (`bad_setting`) that names each variable whose value is wrong.
    """
    try:
        return Settings(**asked)
    except ValidationError as error:
        problems = [
            " ".join(
                [
                    *(f"HUB_{str(part).upper()}:" for part in problem["loc"][:1]),
                    problem["msg"].removeprefix("Value error, "),
                ]
            )
            for problem in error.errors()
        ]
        raise InvalidInput("bad_setting", "; ".join(problems)) from error
    except SettingsError as error:
        raise InvalidInput("bad_setting", f'{error}: a list is written as JSON, such as ["a", "b"].') from error
