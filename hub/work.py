"""How much work networks are beside each other: one that has run here tells how long another will take."""

from __future__ import annotations

from uformer.architecture import TOKENS, VARIANTS, WIDENING

# Operations that a machine does while one channel of a pixel is carried through a block: 7000 gives the ratios that
# were measured of Uformer-16, S and B in bfloat16 on a CPU (1 : 2.2 : 3.7), where operations alone are 1 : 3.6 : 7.7.
_CARRYING = 7000.0


def pixel_work(variant: str) -> float:
    """What a pixel costs a network of that variant; says something beside that of another variant alone."""
    config = VARIANTS[variant]
    return sum(
        _block_work(config.width(stage), config.level(stage)) * blocks for stage, blocks in enumerate(config.depths)
    )


def _block_work(width: int, level: int) -> float:
    """Per pixel of the image. The convolutions between stages, about a twelfth of all operations, are left out."""
    attention = 4 * width**2 + 2 * TOKENS * width
    feed_forward = WIDENING * width * (2 * width + 9)
    return (2 * (attention + feed_forward) + _CARRYING * width) / (1 << 2 * level)
