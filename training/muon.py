"""The Muon optimiser for hidden matrices: momentum whose singular values are pulled to one.

After Keller Jordan's Muon (2024). torch.optim.Muon does the same in bfloat16, which CPUs without
bfloat16 units only emulate: there, this float32 form, with like shapes batched, is several times
faster. Knows nothing of models.
"""

from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import Executor

import torch

_A, _B, _C = 3.4445, -4.7750, 2.0315
"""Jordan's coefficients of the quintic: singular values go near one in few rounds."""
_ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, made orthogonal; for matrices alone.

    lr is the size of a change's singular values, more for tall matrices; 0.02 is usual. The team's
    threads share the work; a matrix is always one thread's, so their number changes no result.
    """

    def __init__(
        self,
        matrices: Iterable[torch.nn.Parameter],
        lr: float,
        team: Executor,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum})
        self._team = team

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Changes every matrix that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.nn.Parameter]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape[matrix.shape].append(matrix)
            for matrices in by_shape.values():
                self._change(matrices, group["lr"], group["momentum"])

    def _change(self, matrices: list[torch.nn.Parameter], lr: float, momentum: float) -> None:
        steered = []
        for matrix in matrices:
            moving = self.state[matrix].setdefault("moving", torch.zeros_like(matrix))
            moving.lerp_(matrix.grad, 1 - momentum)
            steered.append(matrix.grad.lerp(moving, momentum))
        halves = torch.stack(steered).tensor_split(2)
        changes = torch.cat(list(self._team.map(orthogonal, halves)))
        rows, columns = matrices[0].shape
        scale = max(1, rows / columns) ** 0.5
        for matrix, change in zip(matrices, changes, strict=True):
            matrix.add_(change, alpha=-lr * scale)


def orthogonal(batch: torch.Tensor) -> torch.Tensor:
    """Nearly the closest orthogonal matrices, by Newton-Schulz; batch is [count, rows, columns]."""
    tall = batch.shape[-2] > batch.shape[-1]
    x = batch.mT if tall else batch
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_ROUNDS):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.mT if tall else x
