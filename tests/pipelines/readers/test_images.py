import io

import numpy as np
import pytest
from PIL import Image

from millstream.pipelines.readers.images import Frame


def encoded(image, form="PNG", **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def frame(channels=3, height=4, width=6, resize="crop"):
    return Frame(channels, height, width, resize)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "1"])
def test_images_of_any_kind_become_of_one(mode):
    content = encoded(Image.new(mode, (9, 9)), "JPEG" if mode == "CMYK" else "PNG")
    for channels in (1, 3):
        assert frame(channels).pixels(content).shape == (channels, 4, 6)


def test_cmyk_keeps_its_colour():
    red = Image.new("CMYK", (9, 9), (0, 255, 255, 0))
    found = frame().pixels(encoded(red, "JPEG", quality=100)).mean(axis=(1, 2))
    assert found[0] > 240
    assert max(found[1:]) < 15


def test_a_palette_is_looked_up():
    image = Image.new("P", (9, 9), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert frame().pixels(encoded(image)).mean(axis=(1, 2)).tolist() == [10, 20, 30]


def test_sixteen_bits_keep_their_upper_eight():
    values = np.full((9, 9), 0x8040, np.uint16)
    assert set(frame(1).pixels(encoded(Image.fromarray(values))).ravel()) == {0x80}


@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_parts_become_black(channels):
    image = Image.new("RGBA", (20, 10), (255, 255, 255, 0))
    image.paste((255, 255, 255, 255), (0, 0, 10, 10))
    found = frame(channels, 10, 20, "stretch").pixels(encoded(image))
    assert (found[:, :, 2].min(), found[:, :, 17].max()) == (255, 0)


def test_an_image_is_turned_upright():
    image = Image.new("RGB", (20, 10))
    image.paste((255, 255, 255), (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 3  # taken upside down
    found = frame(3, 10, 20, "stretch").pixels(encoded(image, "JPEG", exif=exif, quality=100))
    assert found[:, :, 15].mean() > 200 > found[:, :, 4].mean() + 100


def test_crop_stretch_and_pad_keep_what_they_say():
    image = Image.new("L", (30, 10), 100)
    image.paste(255, (0, 0, 10, 10))
    found = {
        resize: frame(1, 30, 30, resize).pixels(encoded(image))[0].astype(int) for resize in ("crop", "stretch", "pad")
    }
    assert found["crop"][:, 2:28].max() < 110  # the white third is cut off
    assert found["stretch"][:, 2].min() == 255
    assert found["pad"][:10].max() == found["pad"][20:].max() == 0
    assert (found["pad"][15, 2], found["pad"][15, 27]) == (255, 100)


def test_one_pixel_becomes_a_whole_image():
    assert set(frame(1).pixels(encoded(Image.new("L", (1, 1), 7))).ravel()) == {7}


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello", "not a complete image in a supported format"),
        (encoded(Image.effect_noise((50, 50), 9))[:900], "not a complete image in a supported format"),
        (encoded(Image.effect_noise((50, 50), 9), "JPEG")[:700], "not a complete image in a supported format"),
        (encoded(Image.effect_noise((50, 50), 9), "TIFF")[:700], "not a complete image in a supported format"),
        (encoded(Image.effect_noise((50, 50), 9), "EPS"), "not a complete image in a supported format"),
        (encoded(Image.new("F", (9, 9), 0.5), "TIFF"), "holds fractions"),
    ],
    ids=["empty", "text", "cut PNG", "cut JPEG", "cut TIFF", "program", "fractions"],
)
def test_what_is_no_image_is_refused_with_its_reason(content, reason):
    with pytest.raises(ValueError, match=reason):
        frame().pixels(content)


EXACT = ("BMP", "DDS", "IM", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP")
"""Formats in which Pillow writes colours without loss."""


@pytest.mark.parametrize("form", EXACT)
def test_the_same_pixels_come_of_every_format(form):
    values = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    content = encoded(Image.fromarray(values), form, **({"lossless": True} if form == "WEBP" else {}))
    found = frame().pixels(content)
    np.testing.assert_array_equal(found.transpose(1, 2, 0), values)


@pytest.mark.parametrize("form", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_several_frames_the_first_one_is_read(form):
    first, second = (Image.new("RGB", (6, 4), value) for value in ((250, 0, 0), (0, 0, 250)))
    more = {"lossless": True} if form == "WEBP" else {}
    content = encoded(first, form, save_all=True, append_images=[second], **more)
    assert frame().pixels(content)[:, 0, 0].tolist() == [250, 0, 0]


@pytest.mark.security
def test_a_bomb_is_not_unfolded():
    # a whole header of 30,000 x 30,000 pixels, and nothing behind it: reading on would find it broken
    bomb = encoded(Image.new("1", (30000, 30000)))[:400]
    with pytest.raises(ValueError, match="more than 100,000,000 pixels"):
        frame().pixels(bomb)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_mask_is_cut_like_its_image_and_never_blended(dtype):
    numbers = np.zeros((10, 30), dtype)
    numbers[:, 10:20], numbers[:, 20:] = 7, 250
    image, mask = encoded(Image.new("L", (30, 10))), encoded(Image.fromarray(numbers))
    assert set(frame(1, 16, 16).mask(mask, image).ravel()) == {7}
    assert set(frame(1, 16, 17, "stretch").mask(mask, image).ravel()) == {0, 7, 250}
    assert frame(1, 10, 30, "stretch").mask(mask, image).tolist() == [numbers.tolist()]
    if dtype == np.uint8:
        assert frame(1, 10, 30, "stretch").mask(encoded(Image.fromarray(numbers), "BMP"), image).tolist() == [
            numbers.tolist()
        ]
    padded = frame(1, 30, 30, "pad").mask(mask, image)[0]
    assert padded[10:20].tolist() == numbers.tolist()
    assert padded[:10].max() == padded[20:].max() == 0


@pytest.mark.bad_input
def test_a_mask_that_is_packed_with_loss_is_refused():
    image = Image.new("L", (30, 10))
    with pytest.raises(ValueError, match="mask: not a complete image"):
        frame().mask(encoded(image, "JPEG"), encoded(image))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (Image.new("L", (29, 10)), "another size"),
        (Image.new("RGB", (30, 10)), "has colours"),
    ],
)
def test_a_mask_that_does_not_belong_to_its_image_is_refused(mask, reason):
    with pytest.raises(ValueError, match=reason):
        frame().mask(encoded(mask), encoded(Image.new("L", (30, 10))))


def test_an_image_that_keeps_its_size_stands_in_the_corner():
    values = np.random.default_rng(0).integers(1, 256, (3, 5, 3), np.uint8)
    image = Image.fromarray(values.transpose(1, 2, 0))
    found = frame(3, 6, 5, "keep").pixels(encoded(image))
    np.testing.assert_array_equal(found, np.pad(values, [(0, 0), (0, 1), (0, 2)]))
    with pytest.raises(ValueError, match="larger than its frame"):
        frame(3, 6, 2, "keep").pixels(encoded(image))
