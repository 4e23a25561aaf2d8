"""Two convolutions without normalisation, the network of JiT's small experiment."""

from torch import Tensor, nn

from unlearn.errors import UserError


class ConvNet(nn.Module):
    """Two convolutions, each halved by pooling, and one hidden layer; neither batch norm nor
    dropout, so that an example's answer depends on no other example.

    Source: the notebook of Foster et al., arXiv 2402.01401, which trains it on CIFAR-10 with 32
    channels, then 64, and 128 hidden units.

    Args:
        in_channels: of the images.
        image_size: side in pixels, at least 4.
        num_outputs: classes, or 1 for regression.
        width: channels of the first convolution; doubled in the second.
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
                f"model=conv_net needs images of at least 4 pixels, these have {image_size}: "
                "give dataset.size=8 (resizes on the device)"
            )
        side = image_size // 4
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(2 * width * side * side, hidden),
            nn.ReLU(),
            nn.Linear(hidden, num_outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))
