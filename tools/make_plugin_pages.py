#!/usr/bin/env python3
"""Makes a page of each interface's header: docs/plugin-api/*.md.

usage: tools/make_plugin_pages.py [--check]
  The headers are the source: their comments become the text, their declarations the code. --check writes nothing and
  fails when a page is not what its header says. It runs as a test.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADERS = ROOT / "core/plugin-api/include/dagger/plugin"
PAGES = ROOT / "docs/plugin-api"
NAMES = ["source", "secret_provider", "cache_store", "network", "snapshotter", "executor", "plugin", "layer", "error"]
DECLARED = re.compile(r"(?:class|struct|enum class|namespace)\s+(?:__attribute__\(\(.*?\)\)\s+)?(\w+)|(\w+)\(|using (\w+)|(\w+) =")


def prose(comment):
    """Comment lines as Markdown: paragraphs and lists as written, `[thread-safe]` as code."""
    lines = [re.sub(r"^// ?", "", line) for line in comment]
    lines = [line for line in lines if not re.fullmatch(r"-+ .* -+", line)]
    lines = [re.sub(r"^ (- )", r"\1", line) for line in lines]
    text = re.sub(r"\[(thread-safe|blocking)\]", r"`[\1]`", "\n".join(lines)).strip()
    return re.sub(r"(?<!\n)\n(- )", r"\n\n\1", text, count=1)


def declarations(lines):
    """(comment, code) of each declaration outside of others; the order is the header's."""
    comment, code = [], []
    for line in lines:
        if not code and line.startswith("//"):
            comment.append(line)
        elif not code and not line.strip():
            comment = []
        else:
            code.append(line)
            text = re.sub(r'"(\\.|[^"\\])*"|//.*', "", "\n".join(code))
            if text.count("{") == text.count("}") and re.search(r"[;}]\s*$", text):
                yield comment, code
                comment, code = [], []


def page(name):
    lines = (HEADERS / f"{name}.h").read_text().splitlines()
    intro = [line for line in lines[: lines.index("#pragma once")] if line.startswith("//")]
    title, _, summary = intro[0].removeprefix("// ").partition(" — ")
    out = [f"# `{title}`", "", "Made from the header by `tools/make_plugin_pages.py`; edit that.", "",
           summary[:1].upper() + summary[1:], "", prose(intro[1:])]  # fmt: skip
    start = next(i for i, line in enumerate(lines) if re.match(r"namespace dagger", line))
    end = max(i for i, line in enumerate(lines) if line.startswith("}  // namespace dagger"))
    for comment, code in declarations(lines[start + 1 : end]):
        found = DECLARED.search(code[0])
        heading = next(g for g in found.groups() if g) if found else code[0]
        out += ["", f"## `{heading}`", ""]
        if comment:
            out += [prose(comment), ""]
        out += ["```cpp", *code, "```"]
    return "\n".join(out) + "\n"


def main():
    check, wrong = "--check" in sys.argv[1:], []
    PAGES.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        path, text = PAGES / f"{name}.md", page(name)
        if path.exists() and path.read_text() == text:
            continue
        if check:
            wrong.append(path.relative_to(ROOT))
        else:
            path.write_text(text)
    for path in wrong:
        print(f"{path}: not what its header says; run tools/make_plugin_pages.py", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
