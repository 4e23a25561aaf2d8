"""One image file as 8-bit pixels, without losing range, rotation or what shines through."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from unlearn.errors import UserError

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

Transparency = Literal["white", "refuse"]

# Pillow's readers that are tried. Others need programs of their own, or hold no photographs.
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "WEBP", "GIF", "PPM", "TIFF", "AVIF", "JPEG2000", "TGA")
ORIENTATION = 0x0112  # the EXIF tag
TURNED = "turned as their EXIF data say"
COMPOSED = "laid on white where transparent"
SCALED = "scaled from 16 to 8 bits"
FIRST_FRAME = "animated, first frame taken"
NO_EXIF = "with unreadable EXIF data"


def read_image(
    path: Path, side: int | None, channels: int, transparency: Transparency = "white"
) -> tuple[np.ndarray, list[str]]:
    """Read one image.

    Args:
        path: of the file; its content decides the format, not its suffix.
        side: side in pixels to resize to (bilinear, antialiased), None = as it is.
        channels: 3 (RGB) or 1 (grey).
        transparency: lay transparent images on white, or refuse them.

    Returns:
        `(C, S, S)` uint8, and what had to be done besides decoding (constants of this module).

    Raises:
        UserError: it cannot be read or decoded, is not square and not resized, or is transparent
            and refused.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=_formats()) as file:
            image, done = _upright(file)
            image = _eight_bits(image, path, file.format, done)
            image = _opaque(image, path, transparency, done)
            image = image.convert("RGB" if channels == 3 else "L")
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: no such image file") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise UserError(f"{path} cannot be read ({error.strerror})") from None
        # Some of Pillow's messages have several lines.
        what = "is empty" if path.stat().st_size == 0 else f"cannot be decoded ({_line(error)})"
        raise UserError(f"{path} {what}: replace it or take it out of the folder") from None
    if side is not None and image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    if image.size[0] != image.size[1]:
        raise UserError(
            f"{path} is {image.size[0]}x{image.size[1]} pixels, not square: give dataset.side=... "
            "to resize all images"
        )
    array = np.asarray(image)
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1)), done


@cache
def _formats() -> list[str]:
    """Those of `FORMATS` that this Pillow has; older ones lack AVIF."""
    from PIL import Image

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _upright(file: "ImageFile") -> tuple["Image.Image", list[str]]:
    """The first frame, turned as the camera was held."""
    from PIL import ImageOps

    done = [FIRST_FRAME] if getattr(file, "is_animated", False) else []
    try:
        # Asked before the pixels are loaded: TIFF's reader turns the image itself, drops the tag.
        turned = 2 <= file.getexif().get(ORIENTATION, 1) <= 8
    except Exception:  # whatever the bytes there happen to break
        turned, done = False, [*done, NO_EXIF]
    file.load()
    return (ImageOps.exif_transpose(file), [*done, TURNED]) if turned else (file, done)


def _eight_bits(
    image: "Image.Image", path: Path, file_format: str | None, done: list[str]
) -> "Image.Image":
    """Grey of 16 bits with its whole range; Pillow's own conversion cuts at 255."""
    from PIL import Image

    if image.mode not in ("F", "I") and not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image)
    # Pillow holds 16-bit grey as "I" too, where older versions read PNG, and in PGM files.
    known = image.mode.startswith("I;16") or file_format in ("PNG", "PPM")
    if not known or values.min() < 0 or values.max() > 65535:
        raise UserError(
            f"{path} has {image.mode} pixels, whose range is not known: convert it to 8 or 16 bits"
        )
    if "transparency" in image.info:
        raise UserError(f"{path} has 16 bits and a transparent colour: convert it to 8 bits")
    done.append(SCALED)
    return Image.fromarray(((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))


def _opaque(
    image: "Image.Image", path: Path, transparency: Transparency, done: list[str]
) -> "Image.Image":
    """Without an alpha channel: colours hidden by it must not come to light."""
    from PIL import Image

    if "A" not in image.getbands() and "transparency" not in image.info:
        return image
    layered = image.convert("RGBA")
    if layered.getchannel("A").getextrema()[0] == 255:
        return image
    if transparency == "refuse":
        raise UserError(
            f"{path} is transparent in places: give dataset.transparency=white to lay such images "
            "on white, or take it out"
        )
    done.append(COMPOSED)
    return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
