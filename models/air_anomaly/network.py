"""The network: a small temporal convolution over the window's 60 minutes. Needs torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.features.channels import CHANNELS

WIDTH = 32
DILATIONS = (1, 2, 4, 8)


class Block(nn.Module):  # type: ignore[misc,unused-ignore] # torch is in no other environment
    """y = relu(x + conv(x)), the same length."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.conv(x))


class AirAnomaly(nn.Module):  # type: ignore[misc,unused-ignore]
    """float32 [n, 60, channels] -> probabilities [n, outputs]; `logits` is what the loss takes.

    The stem halves the steps; the head sees the newest step, the hour's mean and its maximum.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.stem = nn.Conv1d(len(CHANNELS), WIDTH, 5, stride=2, padding=2)
        self.blocks = nn.Sequential(*(Block(WIDTH, dilation) for dilation in DILATIONS))
        self.hidden = nn.Linear(3 * WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, outputs)

    def logits(self, x: Tensor) -> Tensor:
        steps = self.blocks(torch.relu(self.stem(x.transpose(1, 2))))
        pooled = torch.cat((steps[:, :, -1], steps.mean(dim=2), steps.amax(dim=2)), dim=1)
        answer: Tensor = self.head(torch.relu(self.hidden(pooled)))
        return answer

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(x))


def parameters_of(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
