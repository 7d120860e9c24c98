"""What clients send as text: frames, and what they choose for frames that come as bytes."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import ValidationError

from hub.errors import InvalidInput, TooLarge
from hub.live.options import LiveFrame, LiveOptions

OPTIONS_BYTES = 1 << 14
"""What the options of a frame may take beside its picture; a longer message holds a frame, or nothing of use."""


class Message(LiveOptions):
    """A text message: a frame, or the hello of the binary mode, which has no `image_b64`.

    mode: a hello that has one is answered.
    """

    mode: Literal["binary", "json"] | None = None
    image_b64: str | None = None
    api_key: str | None = None

    @classmethod
    def read(cls, text: str) -> Self:
        """Read JSON; for a message as large as a picture that takes milliseconds. Raises InvalidInput."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            wrong = [
                ": ".join([*(str(part) for part in item["loc"][:1]), item["msg"]])
                for item in error.errors(include_url=False, include_context=False, include_input=False)
            ]
            raise InvalidInput("invalid_message", f"The message is not as it should be: {'; '.join(wrong)}.") from error
        except UnicodeEncodeError as error:  # Half of a character of two.
            raise InvalidInput("invalid_message", "The message holds characters that do not exist.") from error

    @property
    def is_hello(self) -> bool:
        """Whether it holds options alone, for frames that come as bytes."""
        return "image_b64" not in self.model_fields_set

    @property
    def options(self) -> LiveOptions:
        """What is chosen."""
        return LiveOptions.model_construct(**self.model_dump(include=set(LiveOptions.model_fields)))

    @property
    def frame(self) -> LiveFrame:
        """The frame; raises InvalidInput (`no_image`) if there is none."""
        if self.image_b64 is None:
            raise InvalidInput(
                "no_image",
                'A message holds a frame in "image_b64", or has no such field and holds options for binary frames.',
            )
        return LiveFrame(self.options, self.image_b64)


def check_size(data: bytes | str, most: int, beside: int = 0) -> None:
    """Raise TooLarge for a frame whose file, in base64 if it is text, is of more than `most` bytes.

    beside: what else the text may hold.
    """
    # Four characters for three bytes, line breaks, and a `data:` before them.
    allowed = most if isinstance(data, bytes) else most * 7 // 5 + 128 + beside
    if len(data) > allowed:
        raise TooLarge(
            "frame_too_large",
            f"The frame is larger than the {most // 1000} kB that are taken here.",
            {"max_bytes": most},
        )
