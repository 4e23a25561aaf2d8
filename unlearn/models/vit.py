"""Vision transformers from torchvision, at the image size of the dataset."""

from torch import nn
from torchvision.models import VisionTransformer, ViT_B_16_Weights

from unlearn.errors import UserError
from unlearn.models.pretrained import adapt_channels, load_weights


def ViT(
    *,
    in_channels: int,
    image_size: int,
    num_outputs: int,
    patch_size: int,
    layers: int,
    heads: int,
    width: int,
    mlp_width: int,
    dropout: float = 0.0,
    pretrained: bool = False,
) -> nn.Module:
    """torchvision's vision transformer with a class token and a linear head.

    Source: A. Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021 (arXiv 2010.11929).

    Args:
        in_channels: of the images.
        image_size: side in pixels, a multiple of `patch_size`.
        num_outputs: classes, or 1 for regression.
        patch_size: side of a patch in pixels.
        layers: transformer blocks.
        heads: attention heads a block.
        width: features of a token, a multiple of `heads`.
        mlp_width: hidden units of a block's two-layer network.
        dropout: rate in [0, 1).
        pretrained: start from the ImageNet weights of ViT-B/16 (needs 224 pixels and its sizes).
    """
    sizes = {"patch_size": patch_size, "layers": layers, "heads": heads, "width": width}
    for key, value in {**sizes, "mlp_width": mlp_width}.items():
        if value < 1:
            raise UserError(f"model.{key} must be at least 1, got {value}")
    if width % heads or not 0 <= dropout < 1:
        raise UserError(
            "model: width must be a multiple of heads and dropout lie in [0, 1), got "
            f"{width}, {heads} and {dropout}"
        )
    if image_size % patch_size:
        raise UserError(
            f"model: {image_size} pixels cannot be cut into patches of {patch_size}: give another "
            "model.patch_size or dataset.size"
        )
    net = VisionTransformer(
        image_size=image_size,
        patch_size=patch_size,
        num_layers=layers,
        num_heads=heads,
        hidden_dim=width,
        mlp_dim=mlp_width,
        dropout=dropout,
        attention_dropout=dropout,
        num_classes=num_outputs,
    )
    # torchvision starts the head at zero; a network that answers the same for everything is a
    # poor start for methods that look at gradients.
    nn.init.trunc_normal_(net.heads[-1].weight, std=0.02)
    if pretrained:
        if (image_size, patch_size, layers, width) != (224, 16, 12, 768):
            raise UserError(
                "model.pretrained: the weights belong to ViT-B/16 at 224 pixels; give "
                "model=vit_b_16 dataset.size=224, or model.pretrained=false"
            )
        load_weights(net, ViT_B_16_Weights.IMAGENET1K_V1)
    return adapt_channels(net, in_channels)
