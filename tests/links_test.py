#!/usr/bin/env python3
"""Tests that every relative link in a Markdown file of the project leads to a file, and its anchor to a heading there; and that
each line of the C, C++ and CMake that follows a link to a file of tests/consumer stands in that file."""
import os
import pathlib
import re
import sys
import urllib.parse

root = pathlib.Path(__file__).resolve().parent.parent


def pages():
    for folder, subfolders, names in os.walk(root):
        at_root = pathlib.Path(folder) == root
        subfolders[:] = [
            name
            for name in subfolders
            if not name.startswith(".") and name != "node_modules" and not (at_root and re.match("build|runs$|data$", name))
        ]
        yield from (pathlib.Path(folder, name) for name in sorted(names) if name.endswith(".md"))


def prose(page):
    """The text without its blocks of code."""
    return re.sub(r"^(```+).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """Those that forges give to headings: small letters, no punctuation, - for a space, a number where one comes again."""
    found = set()
    for heading in re.findall(r"^#+ +(.*?) *$", prose(page), flags=re.MULTILINE):
        heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        base = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        anchor, count = base, 0
        while anchor in found:
            count += 1
            anchor = f"{base}-{count}"
        found.add(anchor)
    return found


def quotations(page):
    """The files of tests/consumer that a paragraph names last before a block of code, with the lines of the block."""
    text = page.read_text(encoding="utf-8")
    for paragraph, code in re.findall(r"(^[^\n`]*\]\([^\n]+)\n\n```(?:c|cpp|cmake)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        links = [link for link in re.findall(r"\]\(([^()]+)\)", paragraph) if "tests/consumer/" in link]
        if links:
            yield links[-1], [line.strip() for line in code.splitlines() if line.strip()]


faults = []
count = 0
quoted = 0
for page in pages():
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    # [text](link "title") and, on a line of its own, [name]: link
    for link in re.findall(r"\]\((?=\S)([^()\s]+)[^()]*\)", text) + re.findall(r"^\[[^]]+\]: +(\S+)", text, re.MULTILINE):
        if re.match(r"[a-z]+:", link):
            continue
        count += 1
        path, _, anchor = urllib.parse.unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            faults.append(f"{page.relative_to(root)}: {link}: no such file")
        elif anchor and (target.suffix != ".md" or anchor not in anchors(target)):
            faults.append(f"{page.relative_to(root)}: {link}: no such heading")
    for link, lines in quotations(page):
        source = {line.strip() for line in (page.parent / link).read_text(encoding="utf-8").splitlines()}
        quoted += len(lines)
        faults += [f"{page.relative_to(root)}: not in {link}: {line}" for line in lines if line not in source]
if quoted == 0:
    faults.append("no quotations found")
if count == 0:
    faults.append("no links found")
for fault in faults:
    print(f"FAILED: {fault}")
if faults:
    sys.exit(1)
print(f"passed: {count} links, {quoted} quoted lines")
