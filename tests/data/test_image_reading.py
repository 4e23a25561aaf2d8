"""What images hold besides 8-bit RGB: range, rotation, transparency and frames are kept."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.image_trees import picture

from unlearn.data import image_reading
from unlearn.data.image_reading import read_image
from unlearn.errors import UserError

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def pixels(path: Path, channels: int = 3, **how) -> tuple[np.ndarray, list[str]]:
    """`(S, S, C)` pixels, and what was done."""
    array, done = read_image(path, None, channels, **how)
    return array.transpose(1, 2, 0), done


def write_png(path: Path, values: np.ndarray, colour: int) -> None:
    """A 16-bit PNG, which Pillow cannot write in colour; colour 0 is grey, 2 RGB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_grey_keeps_its_range(tmp_path, suffix):
    values = np.linspace(0, 65535, 256).reshape(16, 16).round().astype(np.uint16)
    path = tmp_path / f"deep.{suffix}"
    if suffix == "pgm":
        path.write_bytes(b"P5 16 16 65535\n" + values.astype(">u2").tobytes())
    elif suffix == "png":
        write_png(path, values, 0)
    else:
        Image.fromarray(values).save(path)
    read, done = pixels(path)
    assert done == [image_reading.SCALED]
    assert np.array_equal(read[..., 0], np.arange(256).reshape(16, 16))
    assert np.array_equal(read[..., 0], read[..., 2])
    assert np.array_equal(pixels(path, channels=1)[0][..., 0], read[..., 0])


def test_16_bit_colour_keeps_its_range(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (8, 8, 3), dtype=np.uint16)
    write_png(tmp_path / "deep.png", values, 2)
    read, _ = pixels(tmp_path / "deep.png")
    assert np.abs(read - values / 257).max() < 1


def test_pixels_of_unknown_range_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a\.tif has F pixels, whose range is not known"):
        read_image(tmp_path / "a.tif", None, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_stand_upright(tmp_path, orientation, suffix):
    """The stored picture is the upright one under the inverse of what the tag says."""
    upright = picture(3, 16).resize((8, 8)).resize((32, 32), Image.Resampling.BILINEAR)
    kinds = Image.Transpose
    inverse = {
        2: kinds.FLIP_LEFT_RIGHT,
        3: kinds.ROTATE_180,
        4: kinds.FLIP_TOP_BOTTOM,
        5: kinds.TRANSPOSE,
        6: kinds.ROTATE_90,
        7: kinds.TRANSVERSE,
        8: kinds.ROTATE_270,
    }
    stored = upright.transpose(inverse[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = {"quality": 95} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    stored.save(tmp_path / f"a.{suffix}", exif=exif, **how)
    read, done = pixels(tmp_path / f"a.{suffix}")
    assert np.abs(read.astype(int) - np.asarray(upright)).mean() < (6 if suffix == "jpg" else 0.01)
    assert done == ([image_reading.TURNED] if orientation > 1 else [])


def test_broken_exif_data_do_not_hide_the_picture(tmp_path):
    picture(1).save(tmp_path / "a.png", exif=b"Exif\0\0no TIFF header at all")
    read, done = pixels(tmp_path / "a.png")
    assert np.array_equal(read, np.asarray(picture(1))) and done == [image_reading.NO_EXIF]


def half_transparent(mode: str) -> Image.Image:
    """Red on the left; on the right blue that nobody sees."""
    image = Image.new("RGBA", (8, 8), (*RED, 255))
    image.paste((*BLUE, 0), (4, 0, 8, 8))
    if mode == "P":
        image = Image.new("P", (8, 8), 0)
        image.putpalette([*RED, *BLUE])
        image.paste(1, (4, 0, 8, 8))
        image.info["transparency"] = 1
    return image


@pytest.mark.parametrize(
    ("mode", "suffix"), [("RGBA", "png"), ("RGBA", "webp"), ("P", "png"), ("P", "gif")]
)
def test_transparent_images_are_laid_on_white_or_refused(tmp_path, mode, suffix):
    path = tmp_path / f"a.{suffix}"
    half_transparent(mode).save(path, **({"lossless": True} if suffix == "webp" else {}))
    read, done = pixels(path)
    assert done == [image_reading.COMPOSED]
    assert (read[:, :4] == RED).all() and (read[:, 4:] == WHITE).all()
    with pytest.raises(UserError, match=r"transparent in places.*dataset\.transparency=white"):
        read_image(path, None, 3, "refuse")


def test_half_covered_pixels_are_mixed_with_white(tmp_path):
    Image.new("LA", (2, 2), (0, 128)).save(tmp_path / "a.png")
    read, _ = pixels(tmp_path / "a.png", channels=1)
    assert (np.abs(read.astype(int) - 127) <= 1).all()


def test_an_opaque_alpha_channel_is_no_transparency(tmp_path):
    picture(1).convert("RGBA").save(tmp_path / "a.png")
    read, done = pixels(tmp_path / "a.png", transparency="refuse")
    assert done == [] and np.array_equal(read, np.asarray(picture(1)))


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_of_several_frames_the_first_is_read(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE, WHITE)]
    how = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **how)
    read, done = pixels(tmp_path / f"a.{suffix}")
    assert (read == RED).all() and done == [image_reading.FIRST_FRAME]


def test_content_decides_not_the_suffix_and_only_pictures_are_opened(tmp_path):
    picture(1).save(tmp_path / "real.png")
    (tmp_path / "real.png").rename(tmp_path / "a.jpe")
    assert np.array_equal(pixels(tmp_path / "a.jpe")[0], np.asarray(picture(1)))
    # Reading PostScript would start another program.
    picture(1).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "b.png")
    with pytest.raises(UserError, match=r"b\.png cannot be decoded.*replace it or take it out"):
        read_image(tmp_path / "b.png", None, 3)
