"""How much work networks are beside each other: one that has run here tells how long another will take."""

from __future__ import annotations

from uformer.layers import TOKENS
from uformer.model import STAGES, VARIANTS, UformerConfig

# Operations that a machine does while one channel of a pixel is carried through a block: 7000 gives the ratios that
# were measured of Uformer-16, S and B in bfloat16 on a CPU (1 : 2.2 : 3.7), where operations alone are 1 : 3.6 : 7.7.
_CARRYING = 7000.0


def pixel_work(variant: str) -> float:
    """What a pixel costs a network of that variant; says something beside that of another variant alone."""
    config = VARIANTS[variant]
    return sum(_block_work(width, level) * blocks for width, level, blocks in _stages(config))


def _stages(config: UformerConfig) -> list[tuple[int, int, int]]:
    """Channels, halvings of the resolution, and blocks of each stage, in order."""
    levels = [*range(STAGES), STAGES, *reversed(range(STAGES))]
    # A decoder stage also carries what the encoder stage of its level hands over.
    widths = [config.embed_dim << (level + (place > STAGES)) for place, level in enumerate(levels)]
    return list(zip(widths, levels, config.depths, strict=True))


def _block_work(width: int, level: int) -> float:
    """Per pixel of the image. The convolutions between stages, about a twelfth of all operations, are left out."""
    attention = 4 * width**2 + 2 * TOKENS * width
    feed_forward = 2 * width * 4 * width + 9 * 4 * width
    return (2 * (attention + feed_forward) + _CARRYING * width) / (1 << 2 * level)
