"""VGG networks without batch norm."""

from torch import Tensor, nn
from torchvision.models import VGG16_Weights, vgg11, vgg16

from unlearn.errors import UserError
from unlearn.models.pretrained import adapt_channels, load_weights


class VGG11Head(nn.Module):
    """Eleven-layer VGG with its 1,000 ImageNet outputs, and one more linear layer on top of them.

    The network that JiT's code calls VGG16: configuration A of the paper, dropout 0.5 in the
    classifier, random initialisation. Images of any size end at 7x7 by adaptive pooling.
    Sources: K. Simonyan, A. Zisserman, ICLR 2015 (arXiv 1409.1556); J. Foster et al.,
    Zero-Shot Machine Unlearning at Scale via Lipschitz Regularization (arXiv 2402.01401).

    Args:
        in_channels: of the images.
        image_size: side in pixels, at least 32.
        num_outputs: classes, or 1 for regression.
    """

    def __init__(self, *, in_channels: int, image_size: int, num_outputs: int):
        super().__init__()
        check_side("vgg11_head", image_size)
        self.backbone = adapt_channels(vgg11(), in_channels)
        self.head = nn.Linear(1000, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))


def VGG16(
    *, in_channels: int, image_size: int, num_outputs: int, pretrained: bool = False
) -> nn.Module:
    """torchvision's sixteen-layer VGG with `num_outputs` outputs (arXiv 1409.1556).

    Args:
        in_channels: of the images.
        image_size: side in pixels, at least 32.
        num_outputs: classes, or 1 for regression.
        pretrained: start from ImageNet weights, the last layer from scratch.
    """
    check_side("vgg16", image_size)
    net = vgg16()
    net.classifier[6] = nn.Linear(4096, num_outputs)
    if pretrained:
        load_weights(net, VGG16_Weights.IMAGENET1K_V1)
    return adapt_channels(net, in_channels)


def check_side(model: str, image_size: int) -> None:
    """Five poolings need 32 pixels."""
    if image_size < 32:
        raise UserError(
            f"model={model} needs images of at least 32 pixels, these have {image_size}: give "
            "dataset.size=32 (resizes on the device) or another model"
        )
