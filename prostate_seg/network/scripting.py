"""TorchScript of a network, as MONAI's ``ckpt_export`` asks for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class OfOneSize(nn.Module):
    """Traced copy of a network for images of one size: (B, C, *size) -> (B, K, *size).

    ``torch.jit.script`` takes the place of a network by it, because the networks compute with Python numbers
    (grids, positions in mm), which a script does not know. A sliding window always has one size.
    A network with rotary positions (``patch_mm``) is traced for the device that it is on.

    Parameters
    ----------
    network
        Network, traced in evaluation mode.
    channels
        Number of input channels C.
    size
        Size of the images in voxels along each axis.
    """

    def __init__(self, network: nn.Module, channels: int, size: Sequence[int]) -> None:
        super().__init__()
        self.size = list(size)
        image = torch.rand(2, channels, *size, device=next(network.parameters()).device)
        training = network.training
        with torch.no_grad():
            self.traced = torch.jit.trace(network.eval(), image)
        network.train(training)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits. RuntimeError is raised for images of another size."""
        if x.shape[2:] != self.size:
            raise RuntimeError("This TorchScript takes images of one size, that of the sliding window.")
        return self.traced(x)
