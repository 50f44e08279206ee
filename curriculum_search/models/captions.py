"""What a network sees of captions: their encodings, and in the place of hidden ones that of the empty caption."""

import torch
from torch import Tensor, nn

from curriculum_search.conditions import Captions, Condition, TextCondition, Unconditional


class SeenCaptions(nn.Module):
    """The captions of a batch as a network sees them; the encoding of the empty one is part of the network's state."""

    def __init__(self, captions: Captions) -> None:
        super().__init__()
        null = captions.null
        self.tokens: Tensor
        self.pooled: Tensor
        self.register_buffer("tokens", null.tokens[0, null.mask[0]].float())
        self.register_buffer("pooled", null.pooled[0])

    def tokens_of(self, condition: Condition, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens float32 [B, T, width] for the images `x`, and which of them are there, bool [B, T].

        Raises:
            TypeError: the condition is of another kind.
        """
        if isinstance(condition, Unconditional):
            mask = torch.ones(len(x), len(self.tokens), dtype=torch.bool, device=x.device)
            return self.tokens.expand(len(x), -1, -1), mask
        text = _text(condition)
        missing = max(len(self.tokens) - text.tokens.shape[1], 0)
        tokens = nn.functional.pad(text.tokens.float(), (0, 0, 0, missing))
        mask = nn.functional.pad(text.mask, (0, missing))
        filled = tokens.shape[1] - len(self.tokens)
        null = nn.functional.pad(self.tokens, (0, 0, 0, filled))
        there = torch.arange(tokens.shape[1], device=x.device) < len(self.tokens)
        hidden = text.hidden[:, None]
        return torch.where(hidden[:, :, None], null, tokens), torch.where(hidden, there, mask)

    def pooled_of(self, condition: Condition, x: Tensor) -> Tensor:
        """One vector for each of the images `x`, float32 [B, pooled_width].

        Raises:
            TypeError: the condition is of another kind.
        """
        if isinstance(condition, Unconditional):
            return self.pooled.expand(len(x), -1)
        text = _text(condition)
        return torch.where(text.hidden[:, None], self.pooled, text.pooled)


def _text(condition: Condition) -> TextCondition:
    if not isinstance(condition, TextCondition):
        raise TypeError(f"a {type(condition).__name__} was given to a network of captions")
    return condition
