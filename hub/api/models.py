"""Models: what can be chosen, what is loaded, and how that is changed."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from hub.api.dependencies import CallerOf, HubOf, IdempotencyKey
from hub.api.lanes import CHANGES, STATUS, UPKEEP
from hub.api.problems import BAD_BODY, DATABASE_AWAY, SERVER_BUSY, example, problems
from hub.api.schemas import TaskStarted
from hub.api.schemas_models import (
    ChosenModels,
    Controls,
    LoadedModels,
    LoadingStrategy,
    ModelsLoaded,
    ModelsUnloaded,
)
from hub.api.submission import KEY_REUSED, QUEUE_FULL, accepted, started

router = APIRouter(prefix="/api", tags=["Models"])

_NO_BODY = example(
    422,
    "invalid_request",
    "body: Field required",
    errors=[{"loc": ["body"], "msg": "Field required", "type": "missing"}],
)
_UNKNOWN_MODEL = example(
    422,
    "unknown_model",
    "There is no model 'denoise_x'; valid are: denoise_b, denoise_16, deblur_b.",
    valid=["denoise_b", "denoise_16", "deblur_b"],
)


@router.get("/available_controls", summary="What a page needs to build itself")
@STATUS.endpoint
def available_controls(hub: HubOf) -> Controls:
    """Tasks, their models (installed or not), switches, output formats and limits."""
    return Controls.model_validate(hub.controls())


@router.get("/model_loading_strategy", summary="When models are loaded")
async def model_loading_strategy(hub: HubOf) -> LoadingStrategy:
    """All at the start, or each when it is first needed: the setting `HUB_LOAD_ALL_ON_STARTUP`."""
    return LoadingStrategy.model_validate(hub.models.strategy())


@router.get("/loaded_models_status", summary="What is loaded")
@STATUS.endpoint
def loaded_models_status(hub: HubOf) -> LoadedModels:
    """Every model, whether it is in memory and in use, and the memory of the device."""
    return LoadedModels.model_validate(hub.models.status())


@router.post(
    "/load_models",
    summary="Load models",
    responses=problems(
        BAD_BODY,
        example(
            409,
            "weights_not_installed",
            "The weights of 'denoise_b' are not installed. Install them with: python -m hub fetch denoise_b",
            model_name="denoise_b",
            command="python -m hub fetch denoise_b",
        ),
        _NO_BODY,
        _UNKNOWN_MODEL,
        example(503, "models_loading", "Other models are being loaded; try again in a moment."),
        SERVER_BUSY,
    ),
)
@UPKEEP.endpoint
def load_models(hub: HubOf, body: ChosenModels) -> ModelsLoaded:
    """Bring models into memory, so that the first task need not wait for it: an empty list means all installed ones.

    Models that are not in use make room for them.
    """
    return ModelsLoaded(loaded_models=hub.models.load(body.model_names))


@router.post("/unload_models", summary="Unload models", responses=problems(BAD_BODY, _NO_BODY, _UNKNOWN_MODEL))
@CHANGES.endpoint
def unload_models(hub: HubOf, body: ChosenModels) -> ModelsUnloaded:
    """Free the memory that models take: an empty list means all of them. A model in use is skipped."""
    unloaded, skipped = hub.models.unload(body.model_names)
    return ModelsUnloaded(unloaded_models=unloaded, skipped_models=skipped)


@router.post(
    "/install_models",
    status_code=202,
    summary="Install models",
    response_description="Accepted; poll the address in `Location`.",
    responses={
        202: accepted("The task."),
        **problems(
            BAD_BODY,
            example(403, "operators_only", "Only the operator may do this; send one of HUB_OPERATOR_KEYS."),
            example(
                409,
                "weights_unusable",
                "The model 'mine' cannot be used: mine.safetensors: not a checkpoint; "
                "a .safetensors, .pth or .pt file of a Uformer is needed.",
                model_name="mine",
            ),
            _NO_BODY,
            _UNKNOWN_MODEL,
            KEY_REUSED,
            QUEUE_FULL,
            DATABASE_AWAY,
        ),
    },
)
@CHANGES.endpoint
def install_models(
    hub: HubOf,
    caller: CallerOf,
    request: Request,
    response: Response,
    body: ChosenModels,
    idempotency_key: IdempotencyKey = None,
) -> TaskStarted:
    """Download the official weights of models: an empty list means all. What is installed already counts as done.

    Where operator keys are set, this is the operator's call alone. Watch it at `GET /api/tasks/{task_id}`.
    """
    hub.access.check_operator(caller)
    job = hub.models.install(body.model_names, owner=caller.owner, idempotency_key=idempotency_key)
    return started(job, "Model installation task started.", request, response)
