#!/usr/bin/python3
"""Checks who includes whom: the layers of docs/architecture.md, read from the #include lines of core/, plugins/, cli/.

usage: tools/check_layers.py [ROOT]      prints file:line and the rule that is broken; exits with 1 if there is any
"""

import re
import sys
from pathlib import Path

# What each folder may include besides itself and the standard library. "error" is dagger/plugin/error.h, "vocabulary"
# adds the other plain types of the plugin API, "plugin-api" is all of it.
LAYERS = {
    "core/plugin-api": set(),
    "core/base": {"plugin-api"},
    "core/plugin": {"plugin-api", "core/base"},
    "core/dag": {"error", "core/base"},
    "core/store": {"plugin-api", "core/base", "core/dag"},
    "core/link": {"vocabulary", "core/base"},
    "core/solver": {"plugin-api", "core/base", "core/dag", "core/store", "core/link"},
    "core/graphql": {"error", "core/base"},
    "core/session": {"plugin-api", "core/base", "core/dag", "core/plugin", "core/store", "core/link", "core/graphql"},
    "core/runner": {"plugin-api", "core/base", "core/dag", "core/plugin", "core/store", "core/link", "core/solver"},
    "cli": {"plugin-api", "core/base", "core/link", "core/plugin", "core/session", "core/runner"},
    "plugins/common": {"plugin-api", "plugins/common"},
    "plugins": {"plugin-api", "plugins/common"},
}

PLUGIN_API = "dagger/plugin/"
SUBSETS = {"error": {"error.h"}, "vocabulary": {"error.h", "unique_fd.h", "layer.h"}}

# Headers of other projects, and the folders that may know them. A header that fits no line may be included anywhere
# but in the plugin API.
THIRD_PARTY = [
    ("boost/dll", {"core/plugin"}),
    ("boost/beast", {"core/link", "core/session"}),
    ("boost/", {"core/base", "core/plugin", "core/link", "core/solver", "core/session", "core/runner"}),
    ("spdlog/", {"core/base"}),
    ("sqlite3.h", {"core/store"}),
    ("curl/", {"plugins", "plugins/common"}),
    ("git2", {"plugins", "plugins/common"}),
    ("archive", {"core/store", "core/session", "plugins", "plugins/common"}),
    ("toml++/", {"core/base", "core/runner"}),
    ("CLI/", {"cli"}),
]

# core/dag is pure: no I/O, no threads.
IMPURE = re.compile(r"(thread|mutex|condition_variable|future|fstream|filesystem|unistd\.h|fcntl\.h|sys/.*|poll\.h)$")

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
SOURCES = {".h", ".hpp", ".cc", ".cpp"}


def folder_of(path: str) -> str | None:
    """The layer that a path of the repository belongs to; a plugin's folder is a layer of its own."""
    parts = path.split("/")
    if parts[0] == "plugins" and len(parts) > 2:
        return "/".join(parts[: 3 if parts[1] == "common" else 2])
    if parts[0] == "core" and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0] if parts[0] in ("cli", "tests") else None


def kind_of(folder: str) -> str:
    """The line of LAYERS for a folder."""
    if folder.startswith("plugins/"):
        return "plugins/common" if folder.startswith("plugins/common") else "plugins"
    return folder


def allowed_text(kind: str) -> str:
    return f"{kind} may include {', '.join(sorted(LAYERS[kind])) or 'the standard library'} only"


def broken_rule(folder: str, header: str, quoted: bool) -> str | None:
    """What is wrong with an include of `header` in `folder`; None if nothing is."""
    kind = kind_of(folder)
    allowed = LAYERS[kind]
    if header.startswith(PLUGIN_API):
        name = header.removeprefix(PLUGIN_API)
        fits = "plugin-api" in allowed or any(name in SUBSETS[key] for key in allowed & SUBSETS.keys())
        return None if fits or kind == "core/plugin-api" else allowed_text(kind)
    target = folder_of(header)
    if target:
        fits = target == folder or target in allowed or kind_of(target) in allowed and kind_of(target) == "plugins/common"
        return None if fits else allowed_text(kind)
    if quoted:
        return "an include of this project is spelled from the root of the repository"
    if kind == "core/dag" and IMPURE.match(header):
        return "core/dag is pure: no I/O, no threads"
    if kind == "core/plugin-api" and "/" in header and not header.startswith("sys/"):
        return allowed_text(kind)
    for prefix, folders in THIRD_PARTY:
        if header.startswith(prefix):
            return None if kind in folders else f"{prefix} belongs in {', '.join(sorted(folders))}"
    return None


def check(root: Path) -> list[str]:
    problems = []
    for top in ("core", "plugins", "cli"):
        for path in sorted((root / top).rglob("*")):
            name = str(path.relative_to(root))
            folder = folder_of(name)
            if path.suffix not in SOURCES or not folder:
                continue
            if kind_of(folder) not in LAYERS:
                problems.append(f"{name}:1: {folder} is no layer of tools/check_layers.py")
                continue
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                match = INCLUDE.match(line)
                rule = match and broken_rule(folder, match[2], match[1] == '"')
                if rule:
                    problems.append(f"{name}:{number}: {match[2]}: {rule}")
    return problems


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]
    problems = check(root)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
