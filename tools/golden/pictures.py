# Pillow's resampling, modes of files and transformers' image processors, for src/processors/pictures.
# REF/bin/python tools/golden/pictures.py > tests/golden/pictures.json   (Pillow 13.0.0, transformers 5.23.0, numpy)
import base64, hashlib, io, json

import numpy as np
import transformers as T
from PIL import Image, ImageOps
from transformers.image_transforms import convert_to_rgb


def pixels(height, width, channels=3):
    """The same numbers as pixelsFor in src/processors/pictures/pictures.test.ts."""
    i = np.arange(height * width * channels, dtype=np.uint64)
    x = (i * 2654435761 + 12345) & 0xFFFFFFFF
    return ((x >> 13) & 0xFF).astype(np.uint8).reshape(height, width, channels)


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


SIZES = [(37, 53, 20, 26), (61, 22, 20, 26), (61, 22, 66, 24), (6, 9, 20, 26), (40, 40, 40, 17), (90, 30, 15, 22), (87, 19, 49, 9)]
resized = [
    dict(from_=[h, w], to=[H, W], resample=r, sha=digest(np.array(Image.fromarray(pixels(h, w)).resize((W, H), r))))
    for h, w, H, W in SIZES for r in range(6)
]
photo = Image.fromarray(pixels(5, 7))
alpha = Image.fromarray(pixels(5, 7, 1)[..., 0])


def saved(image, kind, **options):
    file = io.BytesIO(); image.save(file, kind, **options)
    return file.getvalue()


exif = Image.Exif(); turned = {}
for turn in range(1, 9):
    exif[0x0112] = turn; turned[f"exif-{turn}.png"] = saved(photo, "PNG", exif=exif.tobytes())
FILES = {
    "rgba.png": saved(Image.merge("RGBA", [*photo.split(), alpha]), "PNG"), "gray.png": saved(photo.convert("L"), "PNG"), "gray-alpha.png": saved(Image.merge("LA", [photo.convert("L"), alpha]), "PNG"),
    "palette-clear.png": saved(photo.quantize(16), "PNG", transparency=bytes(range(0, 256, 17))), "gray16.png": saved(Image.fromarray(np.arange(35, dtype=np.uint16).reshape(5, 7) * 9), "PNG"),
    "bilevel.png": saved(photo.convert("1"), "PNG"), "cmyk.tif": saved(photo.convert("CMYK"), "TIFF"), "frames.gif": saved(photo, "GIF", save_all=True, append_images=[alpha]), "lossless.webp": saved(photo, "WEBP", lossless=True), **turned,
}
files = {}
for name, data in FILES.items():
    image = Image.open(io.BytesIO(data))
    files[name] = dict(base64=base64.b64encode(data).decode(), rgb=digest(convert_to_rgb(image, return_numpy=True)), upright=digest(np.array(ImageOps.exif_transpose(image).convert("RGB"))))
ODD = dict(image_mean=[0.4, 0.45, 0.52], image_std=[0.21, 0.33, 0.27])
CONFIGS = [
    dict(image_processor_type="ViTImageProcessor", size=8, **ODD), dict(feature_extractor_type="CLIPFeatureExtractor", size=9, crop_size=6),
    dict(image_processor_type="CLIPImageProcessor", size={"shortest_edge": 4}, crop_size={"height": 9, "width": 3}), dict(image_processor_type="BitImageProcessor", size={"shortest_edge": 9}, crop_size=7, **ODD),
    dict(image_processor_type="ConvNextImageProcessor", size={"shortest_edge": 6}), dict(image_processor_type="DeiTImageProcessor", size=10, crop_size=7), dict(image_processor_type="SiglipImageProcessor", size=6),
    dict(image_processor_type="SegformerImageProcessor", size=6, do_reduce_labels=True), dict(image_processor_type="BeitImageProcessor", size=7), dict(image_processor_type="ViTImageProcessor", size=5, do_rescale=False, do_normalize=False),
]
processed = []
for config in CONFIGS:
    processor = getattr(T, config.get("image_processor_type", "CLIPImageProcessor") + "Pil")(**{k: v for k, v in config.items() if not k.endswith("_type")})
    out = processor(Image.fromarray(pixels(13, 10)), return_tensors="np")["pixel_values"][0]
    processed.append(dict(config=config, shape=list(out.shape), values=[round(float(x), 7) for x in out.reshape(-1)[::11]]))
print(json.dumps(dict(resized=resized, files=files, processed=processed), separators=(",", ":")).replace("},", "},\n"))
