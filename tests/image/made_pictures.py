"""Small pictures of every kind Pillow can write, for golden_pillow.py."""
import os
import struct

import numpy as np
from PIL import Image


def photo(width, height, channels=3, seed=1):
    """Smooth colour fields with some noise: what decoders and filters round differently shows in it."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for channel in range(channels):
        a, b, c = random.uniform(0.02, 0.3, 3)
        planes.append(127 + 80 * np.sin(a * x + channel) * np.cos(b * y) + 40 * np.sin(c * (x + y)))
    noise = random.normal(0, 12, (height, width, channels))
    return np.clip(np.stack(planes, axis=2) + noise, 0, 255).astype(np.uint8)


def bmp_16(path, width, height, masks):
    """A 16-bit BMP, 5:5:5 without masks or with the masks given, which Pillow reads but does not write."""
    pixels = np.random.default_rng(7).integers(0, 65536, (height, (width + 1) // 2 * 2), dtype=np.uint16)
    if masks is None:
        pixels &= 0x7FFF
    table = b"" if masks is None else struct.pack("<3I", *masks)
    offset = 54 + len(table)
    body = pixels.astype("<u2").tobytes()
    with open(path, "wb") as out:
        out.write(struct.pack("<2sIHHI", b"BM", offset + len(body), 0, 0, offset))
        out.write(struct.pack("<IiiHHIIiiII", 40, width, height, 1, 16, 0 if masks is None else 3, len(body), 0, 0, 0, 0))
        out.write(table + body)


def bmp_rle8(path):
    """A run-length coded BMP of 12x5: runs, literals, a jump and ends of lines."""
    palette = b"".join(bytes([i * 7 % 256, i * 13 % 256, i * 29 % 256, 0]) for i in range(256))
    rows = [bytes([12, 5]), bytes([4, 9, 8, 77]), bytes([0, 5, 1, 2, 3, 4, 5, 0, 7, 200]),
            bytes([6, 10, 6, 11]), bytes([12, 255])]
    body = b"\0\0".join(rows) + b"\0\1"
    offset = 54 + len(palette)
    with open(path, "wb") as out:
        out.write(struct.pack("<2sIHHI", b"BM", offset + len(body), 0, 0, offset))
        out.write(struct.pack("<IiiHHIIiiII", 40, 12, 5, 1, 8, 1, len(body), 0, 0, 0, 0))
        out.write(palette + body)


def make_pictures(folder):
    os.makedirs(folder, exist_ok=True)
    made = []

    def save(image, name, **options):
        path = os.path.join(folder, name)
        image.save(path, **options)
        made.append(path)

    sizes = [(97, 61), (1, 1), (1, 40), (40, 1), (3, 2), (256, 256), (301, 200)]
    for width, height in sizes:
        rgb = Image.fromarray(photo(width, height))
        tag = f"{width}x{height}"
        for sampling in ("4:4:4", "4:2:2", "4:2:0"):
            for progressive in (False, True):
                save(rgb, f"{tag}_{sampling.replace(':', '')}{'p' if progressive else ''}.jpg", quality=83,
                     subsampling=sampling, progressive=progressive)
        save(rgb, f"{tag}.png")
        save(rgb, f"{tag}.bmp")
        save(rgb, f"{tag}.webp", quality=70)
        save(rgb, f"{tag}_lossless.webp", lossless=True)
        save(rgb.quantize(37), f"{tag}.gif")
    rgb = Image.fromarray(photo(97, 61))
    rgba = Image.fromarray(photo(97, 61, 4, seed=3))
    grey = rgb.convert("L")
    grey_alpha = rgba.convert("LA")
    palette = rgb.quantize(200)
    few = rgb.quantize(5)
    cmyk = Image.fromarray(photo(97, 61, 4, seed=5), "CMYK")
    one_bit = rgb.convert("1")
    deep = Image.fromarray(np.random.default_rng(9).integers(0, 65536, (61, 97), dtype=np.uint16))

    save(grey, "grey.jpg", quality=90)
    save(cmyk, "cmyk.jpg", quality=90)
    save(rgb, "restart.jpg", quality=75, restart_marker_blocks=3)
    save(rgb, "optimised.jpg", quality=30, optimize=True)
    save(rgb, "keep_rgb.jpg", quality=90, keep_rgb=True)
    for sampling, name in (((1, 2), "440"), ((4, 1), "411")):
        jpeg_with_sampling(os.path.join(folder, f"{name}.jpg"), photo(97, 61, seed=11), sampling)
        made.append(os.path.join(folder, f"{name}.jpg"))

    save(grey, "grey.png")
    save(grey_alpha, "grey_alpha.png")
    save(rgba, "rgba.png")
    save(one_bit, "one_bit.png")
    save(palette, "palette.png")
    save(few, "palette_few.png")
    save(few, "palette_few_bits.png", bits=4)
    save(palette, "palette_transparent.png", transparency=3)
    save(palette, "palette_alphas.png", transparency=bytes(range(200)))
    save(rgb, "transparent_colour.png", transparency=(12, 13, 14))
    save(grey, "grey_transparent.png", transparency=77)
    save(deep, "deep.png")
    save(rgb, "animated.png", save_all=True, append_images=[Image.fromarray(photo(97, 61, seed=21))])

    save(grey, "grey.gif")
    save(palette, "palette.gif")
    save(palette, "interlaced.gif", interlace=1)
    save(palette, "transparent.gif", transparency=3)
    save(rgb, "animated.gif", save_all=True, append_images=[Image.fromarray(photo(97, 61, seed=21))], duration=50)
    for transparency in (None, 4):
        name = f"offset_{transparency}.gif"
        offset_gif(os.path.join(folder, name), palette, transparency)
        made.append(os.path.join(folder, name))

    save(rgba, "alpha.webp", quality=70)
    save(rgba, "alpha_lossless.webp", lossless=True)
    save(rgba, "alpha_exact.webp", lossless=True, exact=True)
    save(grey, "grey.webp")
    save(rgb, "animated.webp", save_all=True, append_images=[Image.fromarray(photo(97, 61, seed=21))], duration=50)

    save(grey, "grey.bmp")
    save(one_bit, "one_bit.bmp")
    save(palette, "palette.bmp")
    save(rgba, "rgba.bmp")
    for name, masks in (("555", None), ("565", (0xF800, 0x07E0, 0x001F))):
        bmp_16(os.path.join(folder, f"{name}.bmp"), 33, 17, masks)
        made.append(os.path.join(folder, f"{name}.bmp"))
    bmp_rle8(os.path.join(folder, "rle8.bmp"))
    made.append(os.path.join(folder, "rle8.bmp"))

    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        for name, image in (("rgb", rgb), ("grey", grey), ("palette", palette), ("rgba", rgba), ("one_bit", one_bit),
                            ("grey_alpha", grey_alpha), ("deep", deep), ("cmyk", cmyk)):
            save(image, f"{name}_{compression}.tif", compression=compression)
    save(rgb, "jpeg.tif", compression="jpeg")
    save(rgb, "tiled.tif", compression="tiff_lzw", tiffinfo={322: 32, 323: 32})
    save(one_bit, "group4.tif", compression="group4")
    save(rgb, "big_endian.tif", big_tiff=False)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(rgb, f"turned_{orientation}.tif", exif=exif)
        for extension in ("jpg", "png", "webp"):
            save(rgb, f"turned_{orientation}.{extension}", exif=exif)

    save(rgb, "colour.ppm")
    save(grey, "grey.pgm")
    save(one_bit, "bitmap.pbm")
    save(rgb, "lossless.jp2", irreversible=False)
    save(grey, "grey.jp2", irreversible=False)
    return made


def offset_gif(path, image, transparency):
    """A frame of 20x10 at (7, 5) of a 40x30 canvas."""
    import io

    small = image.crop((10, 10, 30, 20))
    buffer = io.BytesIO()
    options = {} if transparency is None else {"transparency": transparency}
    small.save(buffer, "GIF", interlace=0, **options)
    data = bytearray(buffer.getvalue())
    data[6:10] = struct.pack("<HH", 40, 30)
    at = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 128 else 0)
    while data[at] == 0x21:
        at += 2
        while data[at]:
            at += data[at] + 1
        at += 1
    assert data[at] == 0x2C
    data[at + 1:at + 5] = struct.pack("<HH", 7, 5)
    with open(path, "wb") as out:
        out.write(data)


def jpeg_with_sampling(path, pixels, factors):
    """Pillow writes no 4:4:0 or 4:1:1: a 4:4:4 file whose luma factors are changed, each MCU then holding more blocks.

    The entropy data stay valid only for the first MCUs, so the picture is cut to the size they cover.
    """
    import io

    h, v = factors
    buffer = io.BytesIO()
    block = np.ascontiguousarray(pixels)
    Image.fromarray(block).save(buffer, "JPEG", quality=80, subsampling="4:4:4")
    data = bytearray(buffer.getvalue())
    at = data.index(b"\xff\xc0")
    height, width = struct.unpack(">HH", data[at + 5:at + 9])
    # 4:4:4 has 3 blocks an MCU of 8x8, these have h*v+2 of (8h)x(8v): the same blocks fill fewer pixels if counted as MCUs.
    blocks = ((width + 7) // 8) * ((height + 7) // 8) * 3
    mcus = blocks // (h * v + 2)
    across = max(1, int(mcus ** 0.5))
    down = max(1, mcus // across)
    data[at + 5:at + 9] = struct.pack(">HH", down * 8 * v - 3, across * 8 * h - 3)
    data[at + 11] = h << 4 | v
    with open(path, "wb") as out:
        out.write(data)
