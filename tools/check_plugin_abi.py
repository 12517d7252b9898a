#!/usr/bin/env python3
"""Keeps the plugin boundary as it is: sizes, offsets, order of virtual methods, values of enumerators.

usage: tools/check_plugin_abi.py [--write]
  core/plugin-api/abi-x86_64.txt describes the boundary of the current API version as the reference compiler lays it out.
  A difference fails until the version in abi.h is raised and --write has recorded the new boundary, so that a review
  shows what changed. docs/abi.md says what may change when. Needs clang++-19; CLANG names another.
"""
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

API = pathlib.Path(__file__).resolve().parent.parent / "core/plugin-api"
GOLDEN = API / "abi-x86_64.txt"
CLANG = os.environ.get("CLANG", "clang++-19")


def compile_headers(*dump):
    """What clang dumps of a file that includes every header."""
    headers = sorted((API / "include/dagger/plugin").glob("*.h"))
    with tempfile.NamedTemporaryFile("w", suffix=".cc") as source:
        source.write("".join(f'#include "dagger/plugin/{h.name}"\n' for h in headers))
        source.flush()
        command = [CLANG, "-std=c++17", f"-I{API / 'include'}", "-fsyntax-only", source.name]
        command += [word for option in dump for word in ("-Xclang", option)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def documents(text):
    """The JSON documents that follow each other in a text."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        document, at = decoder.raw_decode(text, at)
        yield document
        while at < len(text) and text[at].isspace():
            at += 1


def ours(name):
    return "<" not in name and re.match(r"dagger(::|_plugin_)", name)


def layouts():
    """Class -> (its own fields with offsets, "size=N align=N"), of each class of the API."""
    found = {}
    for dump in compile_headers("-fdump-record-layouts-complete").split("*** Dumping AST Record Layout\n")[1:]:
        lines = dump.splitlines()
        name = re.sub(r"^(struct|class|union) | \(empty\)$", "", lines[0].split("|", 1)[1].strip())
        if not ours(name):
            continue
        fields = [f"{int(offset):4} {field.strip()}" for offset, field in re.findall(r"^ +(\d+) \|   (\S.*)$", dump, re.M)]
        size, align = re.search(r"sizeof=(\d+).*align=(\d+)", dump).groups()
        found[name] = fields, f"size={size} align={align}"
    return found


class Declarations:
    """Enumerations, and the virtual methods that each class adds, in the order of their slots."""

    def __init__(self):
        self.enums, self.virtuals = {}, {}
        for document in documents(compile_headers("-ast-dump=json", "-ast-dump-filter=dagger")):
            self.visit(document, [])

    def visit(self, node, scope):
        kind, name = node.get("kind"), node.get("name", "")
        if kind == "NamespaceDecl":
            scope = [*scope, name]
        elif kind == "EnumDecl" and name:
            self.add_enum(node, scope)
            return
        elif kind == "CXXRecordDecl" and node.get("completeDefinition"):
            scope = [*scope, name]
            self.add_class(node, "::".join(scope))
        elif kind not in ("LinkageSpecDecl", None):
            return
        for child in node.get("inner", []):
            self.visit(child, scope)

    def add_enum(self, node, scope):
        value, lines = -1, []
        for constant in node.get("inner", []):
            if constant["kind"] != "EnumConstantDecl":
                continue
            given = [i["value"] for i in constant.get("inner", []) if "value" in i]
            value = int(given[0]) if given else value + 1
            lines.append(f"{value:4} {constant['name']}")
        self.enums["::".join([*scope, node["name"]])] = node.get("fixedUnderlyingType", {}).get("qualType", "int"), lines

    def add_class(self, node, name):
        self.virtuals[name] = [
            f"{m['name']} {m['type']['qualType']}"
            for m in node.get("inner", [])
            if m["kind"] in ("CXXMethodDecl", "CXXDestructorDecl") and m.get("virtual")
        ]


def version():
    text = (API / "include/dagger/plugin/abi.h").read_text()
    return ".".join(re.search(rf"#define DAGGER_PLUGIN_API_{part} (\d+)", text).group(1) for part in ("MAJOR", "MINOR"))


def describe():
    declared = Declarations()
    lines = [
        "# The plugin boundary as clang 19 lays it out on x86_64. Made by tools/check_plugin_abi.py --write.",
        f"version {version()}",
    ]
    for name, (underlying, values) in sorted(declared.enums.items()):
        lines += ["", f"enum {name} : {underlying}", *values]
    for name, (fields, size) in sorted(layouts().items()):
        lines += ["", f"class {name} {size}", *fields]
        lines += [f"   virtual {method}" for method in declared.virtuals.get(name, [])]
    return "\n".join(lines) + "\n"


def main():
    if platform.machine() != "x86_64":
        print("the recorded boundary is that of x86_64; nothing to compare on this machine")
        return 0
    is_now, known = describe(), GOLDEN.read_text() if GOLDEN.exists() else ""
    if is_now == known:
        return 0
    if f"version {version()}\n" in known:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as new:
            new.write(is_now)
            new.flush()
            subprocess.run(["diff", "-u", "--label", "recorded", "--label", "now", GOLDEN, new.name], check=False)
        print(f"the plugin boundary changed, the version is still {version()}: plugins built before would be loaded and "
              "crash. Raise it in core/plugin-api/include/dagger/plugin/abi.h (docs/abi.md says which part), then run "
              "tools/check_plugin_abi.py --write", file=sys.stderr)  # fmt: skip
        return 1
    if "--write" in sys.argv[1:]:
        GOLDEN.write_text(is_now)
        return 0
    print(f"version {version()} of the plugin API is new; record its boundary: tools/check_plugin_abi.py --write",
          file=sys.stderr)  # fmt: skip
    return 1


sys.exit(main())
