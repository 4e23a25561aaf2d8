"""A small convolutional network for small images and quick experiments."""

from torch import Tensor, nn

from unlearn.errors import UserError


class SmallCNN(nn.Module):
    """Two or three convolution blocks with batch norm, then one hidden layer.

    The third block exists for images of 16 pixels and more.

    Args:
        in_channels: of the images.
        image_size: side in pixels, at least 4.
        num_outputs: classes, or 1 for regression.
        width: channels of the first block; doubled in the following ones.
        hidden: units of the hidden layer.
    """

    def __init__(
        self, *, in_channels: int, image_size: int, num_outputs: int, width: int, hidden: int
    ):
        super().__init__()
        if width < 1 or hidden < 1:
            raise UserError(
                f"model.width and model.hidden must be at least 1, got {width} and {hidden}"
            )
        if image_size < 4:
            raise UserError(
                f"model=small_cnn needs images of at least 4 pixels, these have {image_size}: "
                "give dataset.size=8 (resizes on the device)"
            )
        blocks: list[nn.Module] = []
        channels = in_channels
        for depth in range(3 if image_size >= 16 else 2):
            out = width * 2**depth
            blocks += [
                nn.Conv2d(channels, out, 3, padding=1, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            channels = out
        side = image_size // 2 ** (len(blocks) // 4)
        if side > 4:
            blocks.append(nn.AdaptiveAvgPool2d(4))
            side = 4
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * side * side, hidden),
            nn.ReLU(),
            nn.Linear(hidden, num_outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))
