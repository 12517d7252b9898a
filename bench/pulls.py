"""Pull and unpack of an image of many layers, beside plain `tar -xz` of the same layers on all cores."""

import gzip
import os
import random
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from report import Row
from setting import Session, Setting, disk_at_rest, timed
from support import images

LAYERS = 20
FILES_PER_MEGABYTE = 60  # 500 MB: 30,000 files


def make_layer(number: int, size: int) -> bytes:
    """An uncompressed tar of about `size` bytes, half of it compressible."""
    chance = random.Random(number)
    files = max(1, size * FILES_PER_MEGABYTE // 1_000_000)
    layer = images.Layer().dir(f"layer{number}")
    for index in range(files):
        if index % 100 == 0:
            layer.dir(f"layer{number}/d{index // 100}")
        half = size // files // 2
        data = chance.randbytes(half) + b"text %d\n" % index * (half // 10)
        layer.file(f"layer{number}/d{index // 100}/f{index}", data)
    return layer.tar()


def unpack(blobs: list[Path], target: Path):
    """Every layer into a directory of its own, as many at once as there are cores."""

    def one(blob: Path):
        directory = target / blob.name
        directory.mkdir(parents=True)
        subprocess.run(["tar", "-xzf", blob, "-C", directory], check=True)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, blobs))


def measure(setting: Setting):
    size = setting.megabytes * 1_000_000
    tars = [make_layer(number, size // LAYERS) for number in range(LAYERS)]
    image = images.image(tars, {"Cmd": ["/bin/sh"]})
    address = setting.registry.push(image, "bench/large:1")
    blobs = []
    for digest in image.layer_digests:
        blob = setting.directory / digest.removeprefix("sha256:")
        blob.write_bytes(image.blobs[digest])
        blobs.append(blob)
    compressed = sum(blob.stat().st_size for blob in blobs)
    assert gzip.decompress(image.blobs[image.layer_digests[0]]) == tars[0]
    del tars, image
    pulls, plain = [], []
    target = setting.directory / "plain"
    for _ in range(1 if setting.quick else min(3, setting.runs)):
        disk_at_rest()
        plain.append(timed(unpack, blobs, target))
        shutil.rmtree(target)
        with setting.engine() as engine, Session(engine) as session:
            disk_at_rest()
            pulls.append(session.timed('{container{from(address:"%s"){rootfs{entries}}}}' % address))
    middle = sorted(plain)[len(plain) // 2]
    yield Row(
        f"pull and unpack, {LAYERS} layers, {size / 1e6:.0f} MB ({compressed / 1e6:.0f} MB packed)", pulls,
        beside=f"tar -xz, {os.cpu_count()} at once", beside_values=plain, budget=1.3 * middle, budget_text="1.3x",
    )  # fmt: skip
