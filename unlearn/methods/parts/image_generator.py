"""A small generator of pseudo images, for methods that have no data."""

import torch.nn.functional as F
from torch import Tensor, nn


class ImageGenerator(nn.Module):
    """From latent vectors to images: one linear layer and two transposed convolutions.

    Args:
        latent: length of a latent vector.
        shape: `(C, H, W)` of an image.
    """

    def __init__(self, latent: int, shape: tuple[int, ...]):
        super().__init__()
        channels, self.height, self.width = shape
        self.seed = (64, -(-self.height // 4), -(-self.width // 4))
        self.first = nn.Linear(latent, self.seed[0] * self.seed[1] * self.seed[2])
        self.rest = nn.Sequential(
            nn.BatchNorm2d(64),
            nn.ConvTranspose2d(64, 64, 4, stride=2, padding=1),
            nn.BatchNorm2d(64),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.LeakyReLU(0.2),
            nn.Conv2d(32, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Images `(B, C, H, W)` from latents `(B, latent)`; roughly standardised by batch norm."""
        images = self.rest(F.relu(self.first(z)).unflatten(1, self.seed))
        return images[..., : self.height, : self.width]
