"""Training: seeded, on one thread, by AdamW with a one-cycle rate. Needs torch."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.air_anomaly.dataset import OUTPUTS, Dataset, Floats32, Progress
from models.air_anomaly.network import AirAnomaly

# Sums in another order are other sums; and on a busy machine two threads of so small a network wait for each
# other longer than they work.
THREADS = 1
BATCH = 512
PEAK_RATE = 4e-3
WEIGHT_DECAY = 1e-4
# The episode is what is asked for; the faults help it to tell.
OUTPUT_WEIGHT = (1.0, 0.3, 0.3, 0.3)


@dataclass(frozen=True)
class Plan:
    """How long to train, and from which seed."""

    epochs: int
    seed: int


def train(data: Dataset, plan: Plan, progress: Progress) -> AirAnomaly:
    """A trained network in evaluation mode; the same for the same data, plan, torch and machine."""
    torch.manual_seed(plan.seed)
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    network = AirAnomaly(len(OUTPUTS))
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y.astype(np.float32))
    steps = -(-len(data) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_RATE, total_steps=plan.epochs * steps, pct_start=0.2
    )
    for epoch in range(plan.epochs):
        started, total = time.monotonic(), 0.0
        for rows in torch.randperm(len(data)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            lost = loss(network.logits(x[rows]), y[rows])
            lost.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            rate.step()
            total += float(lost.detach()) * len(rows)
        progress(
            f"  epoch {epoch + 1:2d} of {plan.epochs}: loss {total / len(data):.4f}, "
            f"{time.monotonic() - started:.1f} s"
        )
    network.eval()
    return network


def loss(logits: Tensor, y: Tensor) -> Tensor:
    """Binary cross entropy, of what is asked only (y >= 0)."""
    asked = (y >= 0).float() * torch.tensor(OUTPUT_WEIGHT)
    each = nn.functional.binary_cross_entropy_with_logits(logits, y.clamp(min=0), reduction="none")
    return (each * asked).sum() / asked.sum()


def score_float(network: AirAnomaly, x: Floats32) -> Floats32:
    """[n, outputs] probabilities of the network as trained."""
    with torch.no_grad():
        parts = [network(part) for part in torch.from_numpy(x).split(4096)]
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)
