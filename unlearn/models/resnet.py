"""ResNet-18, with the stem that fits the image size."""

from torch import nn
from torchvision.models import ResNet18_Weights, resnet18

from unlearn.models.pretrained import adapt_channels, load_weights


def ResNet18(
    *, in_channels: int, image_size: int, num_outputs: int, pretrained: bool = False
) -> nn.Module:
    """torchvision's ResNet-18.

    Images below 64 pixels get the CIFAR stem (3x3, stride 1, no max-pooling), larger ones the
    ImageNet stem. Source: K. He et al., Deep Residual Learning, CVPR 2016 (arXiv 1512.03385).

    Args:
        in_channels: of the images.
        image_size: side in pixels.
        num_outputs: classes, or 1 for regression.
        pretrained: start from ImageNet weights; layers whose shape differs start from scratch.
    """
    net = resnet18()
    if image_size < 64:
        net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
        net.maxpool = nn.Identity()
    net.fc = nn.Linear(net.fc.in_features, num_outputs)
    if pretrained:
        load_weights(net, ResNet18_Weights.IMAGENET1K_V1)
    return adapt_channels(net, in_channels)
