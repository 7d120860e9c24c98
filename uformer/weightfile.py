"""Files that hold weights, whatever their format: names, shapes and arrays. Runs no code from a file.

PyTorch, which takes seconds to import, is asked for what it alone can read: its own files, and bfloat16.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

if TYPE_CHECKING:
    from torch import Tensor

# Under which key training scripts keep the network beside optimizer state; the official ones use the first.
WRAPPERS = ("state_dict", "model_state_dict", "params_ema", "params", "model")
# What DataParallel and torch.compile put before every name.
PREFIX = re.compile(r"^(?:module\.|_orig_mod\.)+")
SAFETENSORS_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64"}


class CheckpointError(ValueError):
    """A file of weights cannot be used; the message is one line that names the file and what is wrong."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = " ".join(problem.split())
        super().__init__(f"{path.name}: {self.problem}")


@dataclass(frozen=True)
class WeightFile:
    """The arrays of an open file, by name.

    dtypes: names as torch has them, such as `float16`; what is in the file, not what is read.
    metadata: the file's own remarks, values as text.
    read: the array of a name, bfloat16 as float32; may share the file's memory. Raises CheckpointError.
    """

    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]
    metadata: Mapping[str, str]
    read: Callable[[str], NDArray[Any]]


@contextmanager
def open_weights(path: Path) -> Iterator[WeightFile]:
    """Open a .safetensors or a .pth/.pt file; its content decides, not its suffix.

    Arrays are mapped from the file where the format allows, so memory grows only by what is read.
    Raises CheckpointError.
    """
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except FileNotFoundError:
        raise CheckpointError(path, "there is no such file.") from None
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error.strerror or error}).") from error
    if head.startswith(b"PK") or head[:1] == b"\x80":
        yield _read_torch(path)
    elif head[8:9] == b"{":
        with _open_safetensors(path) as stored:
            yield stored
    else:
        raise CheckpointError(path, _describe(head))


def _describe(head: bytes) -> str:
    """What a file that starts so is, if not a checkpoint."""
    if not head:
        return "the file is empty."
    if head.startswith(b"version https://git-lfs"):
        return "this is a Git LFS pointer, not the weights; fetch them with `git lfs pull`."
    if head.lstrip()[:1] == b"<":
        return "this is a web page, not weights; the download went wrong."
    return "not a checkpoint; a .safetensors, .pth or .pt file of a Uformer is needed."


@contextmanager
def _open_safetensors(path: Path) -> Iterator[WeightFile]:
    """Read the header of a safetensors file, and its arrays when asked."""
    try:
        with ExitStack() as held:
            file = held.enter_context(safe_open(path, framework="np"))
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            dtypes = {name: _dtype_name(part.get_dtype()) for name, part in slices.items()}
            # NumPy has no bfloat16.
            wide = held.enter_context(safe_open(path, framework="pt")) if "bfloat16" in dtypes.values() else None

            def read(name: str) -> NDArray[Any]:
                if wide is not None and dtypes[name] == "bfloat16":
                    return _array(wide.get_tensor(name))
                array: NDArray[Any] = file.get_tensor(name)
                return array

            yield WeightFile(
                shapes={name: tuple(part.get_shape()) for name, part in slices.items()},
                dtypes=dtypes,
                metadata=dict(file.metadata() or {}),
                read=read,
            )
    except SafetensorError as error:
        raise CheckpointError(path, f"truncated or damaged; safetensors says: {error}.") from error


def _dtype_name(code: object) -> str:
    return SAFETENSORS_DTYPES.get(str(code), str(code).lower())


def _read_torch(path: Path) -> WeightFile:
    """Read what torch.save wrote; plain data only."""
    import torch

    zipped = zipfile.is_zipfile(path)
    if zipped and _is_torchscript(path):
        raise CheckpointError(path, "a TorchScript program, not weights; save the network's state_dict instead.")
    # torch maps files only by name, and by name takes .safetensors for what it says.
    named = path.suffix != ".safetensors"
    try:
        with path.open("rb") as file:
            content = torch.load(path if named else file, map_location="cpu", weights_only=True, mmap=zipped and named)
    except pickle.UnpicklingError as error:
        unsafe = re.search(r"GLOBAL (\S+)", str(error))
        if unsafe is None:
            raise CheckpointError(path, "truncated or damaged, or a pickle of something else than weights.") from error
        raise CheckpointError(
            path,
            f"it holds the Python object {unsafe[1]}, which could run code when loaded, so it is refused; "
            "save the network's state_dict alone.",
        ) from error
    except Exception as error:
        # Broken files make torch raise anything from EOFError to AssertionError.
        problem = "not a checkpoint" if zipped else "truncated or damaged"
        raise CheckpointError(path, f"{problem}; torch cannot read it ({type(error).__name__}).") from error
    remarks: dict[str, str] = {}
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            remarks = {str(key): str(value) for key, value in content.items() if isinstance(value, str | int)}
            content = content[wrapper]
            break
    return _from_state_dict(path, content, remarks)


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _from_state_dict(path: Path, content: Any, remarks: dict[str, str]) -> WeightFile:
    """Look at a state dict as a file of weights."""
    import torch

    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(path, f"not a checkpoint: it holds a {type(content).__name__}, not named weights.")
    tensors: dict[str, Tensor] = {}
    for key, value in content.items():
        name = PREFIX.sub("", str(key))
        if not isinstance(value, torch.Tensor):
            raise CheckpointError(path, f"not a checkpoint: `{key}` is a {type(value).__name__}, not a tensor.")
        if name in tensors:
            raise CheckpointError(path, f"`{name}` is there twice, with and without a prefix.")
        tensors[name] = value

    def read(name: str) -> NDArray[Any]:
        tensor = tensors[name]
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise CheckpointError(path, f"`{name}` is no plain tensor (sparse, quantised or without data).")
        return _array(tensor)

    return WeightFile(
        shapes={name: tuple(tensor.shape) for name, tensor in tensors.items()},
        dtypes={name: str(tensor.dtype).removeprefix("torch.") for name, tensor in tensors.items()},
        metadata=remarks,
        read=read,
    )


def _array(tensor: Tensor) -> NDArray[Any]:
    import torch

    tensor = tensor.detach()
    array: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array
