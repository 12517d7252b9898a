"""Container images made in memory, without any container tool.

Layer      one tar, written exactly as told: hostile names and links are not cleaned up
Image      a manifest (or an index) with all its blobs; registry.py serves and pushes it
image()    layers + config -> Image;  index() -> several platforms under one name;  busybox() -> the usual test image
"""

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

BUSYBOX = Path("/bin/busybox")  # Debian's busybox-static

FAMILIES = {
    "oci": {
        "manifest": "application/vnd.oci.image.manifest.v1+json",
        "index": "application/vnd.oci.image.index.v1+json",
        "config": "application/vnd.oci.image.config.v1+json",
        "layer": {
            "none": "application/vnd.oci.image.layer.v1.tar",
            "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
            "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
        },
    },
    "docker": {
        "manifest": "application/vnd.docker.distribution.manifest.v2+json",
        "index": "application/vnd.docker.distribution.manifest.list.v2+json",
        "config": "application/vnd.docker.container.image.v1+json",
        "layer": {
            "none": "application/vnd.docker.image.rootfs.diff.tar",
            "gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "zstd": "application/vnd.docker.image.rootfs.diff.tar.zstd",
        },
    },
}


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layer:
    """A layer's tar. Every method returns the layer, so that calls chain; names go into the tar as they are given."""

    def __init__(self):
        self._members: list[tuple[tarfile.TarInfo, bytes]] = []

    def _add(self, name, kind, *, mode, data=b"", link="", uid=0, gid=0, mtime=1_700_000_000, **more):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size, info.linkname = kind, mode, len(data), link
        info.uid, info.gid, info.mtime = uid, gid, mtime
        for key, value in more.items():
            setattr(info, key, value)
        self._members.append((info, data))
        return self

    def dir(self, name, mode=0o755, **more):
        return self._add(name, tarfile.DIRTYPE, mode=mode, **more)

    def file(self, name, data: bytes | str = b"", mode=0o644, **more):
        return self._add(name, tarfile.REGTYPE, mode=mode, data=data.encode() if isinstance(data, str) else data, **more)

    def symlink(self, name, target, **more):
        return self._add(name, tarfile.SYMTYPE, mode=0o777, link=target, **more)

    def hardlink(self, name, target, **more):
        return self._add(name, tarfile.LNKTYPE, mode=0o644, link=target, **more)

    def fifo(self, name, mode=0o644, **more):
        return self._add(name, tarfile.FIFOTYPE, mode=mode, **more)

    def device(self, name, major, minor, mode=0o666, **more):
        return self._add(name, tarfile.CHRTYPE, mode=mode, devmajor=major, devminor=minor, **more)

    def xattr(self, name, key, value):
        """Sets an extended attribute on the last member called `name`."""
        info = next(info for info, _ in reversed(self._members) if info.name == name)
        info.pax_headers = {**info.pax_headers, f"SCHILY.xattr.{key}": value}
        return self

    def whiteout(self, name):
        """Says that `name` of a lower layer is gone."""
        parent, _, base = name.rpartition("/")
        return self.file((parent + "/" if parent else "") + ".wh." + base)

    def opaque(self, directory):
        """Says that nothing of the lower layers' `directory` is seen."""
        return self.file(directory + "/.wh..wh..opq")

    def tar(self) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for info, data in self._members:
                archive.addfile(info, io.BytesIO(data))
        return out.getvalue()


def compress(data: bytes, how: str) -> bytes:
    if how == "gzip":
        return gzip.compress(data, compresslevel=6, mtime=0)
    if how == "zstd":
        return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


@dataclass
class Image:
    """A manifest or an index: `document` are its bytes; `blobs` what it names; `children` the images of an index."""

    media_type: str
    document: bytes
    blobs: dict[str, bytes] = field(default_factory=dict)
    children: list["Image"] = field(default_factory=list)
    layer_digests: list[str] = field(default_factory=list)
    platform: str = ""

    @property
    def digest(self) -> str:
        return digest_of(self.document)

    def descriptor(self) -> dict:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.document)}


def _platform(text: str) -> dict:
    parts = dict(zip(("os", "architecture", "variant"), text.split("/")))
    return parts


def image(layers, config=None, *, platform="linux/amd64", compression="gzip", family="oci", diff_ids=None) -> Image:
    """Makes an image of layers (Layer, or bytes of a tar). `config` is what docker calls the container config (Env, Cmd,
    ...). `compression` is gzip, zstd or none, or one of them per layer. `diff_ids` replaces the true ones, to lie."""
    types = FAMILIES[family]
    how = [compression] * len(layers) if isinstance(compression, str) else list(compression)
    tars = [layer.tar() if isinstance(layer, Layer) else layer for layer in layers]
    packed = [compress(data, kind) for data, kind in zip(tars, how, strict=True)]
    config_bytes = json.dumps(
        {
            **_platform(platform),
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest_of(data) for data in tars]},
            "history": [{"created_by": f"layer {number}"} for number in range(len(layers))],
        }
    ).encode()
    descriptors = [
        {"mediaType": types["layer"][kind], "digest": digest_of(data), "size": len(data)}
        for data, kind in zip(packed, how)
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": types["manifest"],
        "config": {"mediaType": types["config"], "digest": digest_of(config_bytes), "size": len(config_bytes)},
        "layers": descriptors,
    }
    return Image(
        types["manifest"],
        json.dumps(document).encode(),
        blobs={digest_of(data): data for data in [config_bytes, *packed]},
        layer_digests=[descriptor["digest"] for descriptor in descriptors],
        platform=platform,
    )


def index(images, *, family="oci") -> Image:
    """Puts images of several platforms under one name."""
    types = FAMILIES[family]
    document = {
        "schemaVersion": 2,
        "mediaType": types["index"],
        "manifests": [{**child.descriptor(), "platform": _platform(child.platform)} for child in images],
    }
    return Image(types["index"], json.dumps(document).encode(), children=list(images))


PASSWD = """root:x:0:0:root:/root:/bin/sh
bin:x:1:1:bin:/bin:/bin/false
daemon:x:2:2:daemon:/:/bin/false
app:x:1000:1000:app:/home/app:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
"""

GROUP = """root:x:0:root
bin:x:1:root,bin,daemon
daemon:x:2:root,bin,daemon
floppy:x:11:root
extra:x:2000:app
app:x:1000:
nobody:x:65534:
"""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def busybox_layers(note="") -> list[Layer]:
    """Three layers: the program with a symbolic link for each of its commands; users and groups; a note."""
    if not BUSYBOX.exists():
        raise RuntimeError(f"{BUSYBOX} is missing: install Debian's busybox-static (tools/install-packages)")
    program = Layer().dir("bin").dir("usr").dir("usr/bin").file("bin/busybox", BUSYBOX.read_bytes(), mode=0o755)
    applets = subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            program.symlink("bin/" + applet, "busybox")
    program.symlink("usr/bin/env", "/bin/busybox")
    users = Layer().dir("etc").file("etc/passwd", PASSWD).file("etc/group", GROUP).dir("root", mode=0o700)
    users.dir("home").dir("home/app", uid=1000, gid=1000).dir("tmp", mode=0o1777).dir("dev").dir("proc").dir("sys")
    users.dir("var").dir("var/tmp", mode=0o1777)
    return [program, users, Layer().dir("etc").file("etc/image-note", note + "\n")]


def busybox(config=None, *, note="busybox", platform="linux/amd64", compression="gzip", family="oci", extra=()) -> Image:
    """The usual test image. `extra` are further layers on top; `note` is what /etc/image-note holds."""
    settings = {"Env": [f"PATH={PATH}"], "Cmd": ["/bin/sh"], **(config or {})}
    layers = busybox_layers(note) + list(extra)
    return image(layers, settings, platform=platform, compression=compression, family=family)


def hostile_layers() -> dict[str, Layer]:
    """Layers that try to write outside of themselves, to /dagger-escape or next to where they are unpacked; by what
    they try. No unpacker may leave any file outside of the layer, and an image that holds one may be refused."""
    target = "/dagger-escape"
    return {
        "dot-dot": Layer().file("../dagger-escape", "x"),
        "deep dot-dot": Layer().dir("a").file("a/../../../../dagger-escape", "x"),
        "absolute": Layer().file(target, "x"),
        "through an absolute symlink": Layer().symlink("out", "/").file("out/dagger-escape", "x"),
        "through a relative symlink": Layer().symlink("out", "../../../../..").file("out/dagger-escape", "x"),
        "through a symlink to a symlink": Layer().symlink("a", "/").symlink("b", "a").file("b/dagger-escape", "x"),
        "over a symlink": Layer().symlink("f", target).file("f", "x"),
        "hard link to the host": Layer().hardlink("passwd", "/etc/passwd"),
        "hard link by dot-dot": Layer().hardlink("passwd", "../../../../../../etc/passwd"),
        "hard link through a symlink": Layer().symlink("out", "/etc").hardlink("passwd", "out/passwd"),
        "write through a hard link": Layer().hardlink("h", "../../../../../dagger-escape").file("h", "x"),
        "whiteout by dot-dot": Layer().file("../.wh.dagger-escape"),
        "whiteout of the parent": Layer().file("a/.wh..."),
        "whiteout through a symlink": Layer().symlink("out", "/").file("out/.wh.dagger-escape"),
        "directory over a symlink": Layer().symlink("out", "/").dir("out", mode=0o777).file("out/dagger-escape", "x"),
        "empty name": Layer().file("", "x"),
        "device": Layer().device("null", 1, 3),
    }
