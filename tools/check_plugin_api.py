#!/usr/bin/env python3
"""Keeps the plugin API honest: when its headers change, its version must change too.

usage: tools/check_plugin_api.py [--write]
  core/plugin-api/versions.txt has a line `MAJOR.MINOR DIGEST` for every version of the API. The digest is of the headers
  without comments and white space, so that only what a compiler sees counts. --write adds the line of a new version;
  nothing changes the line of an old one, since plugins built against it are refused or accepted by its number alone.
"""
import hashlib
import pathlib
import re
import sys

API = pathlib.Path(__file__).resolve().parent.parent / "core/plugin-api"
VERSIONS = API / "versions.txt"
TOKEN = re.compile(r'("(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')|//[^\n]*|/\*.*?\*/', re.S)


def meaning(text):
    """The text as a compiler sees it: no comments, one blank between words."""
    return " ".join(TOKEN.sub(lambda m: m.group(1) or " ", text).split())


def digest():
    total = hashlib.sha256()
    for header in sorted((API / "include").rglob("*.h")):
        total.update(f"{header.name}\0{meaning(header.read_text())}\0".encode())
    return total.hexdigest()


def version():
    text = (API / "include/dagger/plugin/abi.h").read_text()
    return ".".join(re.search(rf"#define DAGGER_PLUGIN_API_{part} (\d+)", text).group(1) for part in ("MAJOR", "MINOR"))


def main():
    known = dict(line.split() for line in VERSIONS.read_text().splitlines()) if VERSIONS.exists() else {}
    now, is_now = version(), digest()
    # The version is part of the headers, so the digest of an old version cannot come back under a new number.
    if known.get(now) == is_now:
        return 0
    if now in known:
        print(f"core/plugin-api: the headers changed, the version is still {now}: plugins built before would be loaded and "
              "crash. Raise DAGGER_PLUGIN_API_MINOR in abi.h (or MAJOR, see there), then run "
              "tools/check_plugin_api.py --write", file=sys.stderr)
        return 1
    if "--write" in sys.argv[1:]:
        with VERSIONS.open("a") as file:
            file.write(f"{now} {is_now}\n")
        return 0
    print(f"core/plugin-api: version {now} is new; record it: tools/check_plugin_api.py --write", file=sys.stderr)
    return 1


sys.exit(main())
