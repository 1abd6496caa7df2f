#!/usr/bin/env python3
"""Holds the chart to what can be held without helm: rendered with its own values and with everything
set, it is YAML of the right kinds; each value is used, is there, and has a comment before it.

The templates keep to what `render` knows: values, `quote`, and `if` without `else`."""
import re
import sys
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parent / "adit"
KINDS = {"relay": ["Service", "StatefulSet"], "connector": ["StatefulSet"]}


def lookup(values, path):
    for part in path.split("."):
        values = values[part]
    return values


def render(text, values):
    """What helm makes of a template, or KeyError for a value that is not there."""
    lines, shown = [], [True]
    for line in text.splitlines():
        control = re.fullmatch(r"\s*\{\{- (if \.Values\.([\w.]+)|end) \}\}", line)
        if control and control[2]:
            shown.append(shown[-1] and bool(lookup(values, control[2])))
        elif control:
            shown.pop()
        elif shown[-1]:
            lines.append(re.sub(r"\{\{ (.*?) \}\}", lambda found: value(found[1], values), line))
    if shown != [True]:
        sys.exit("an `if` without its `end`")
    return "\n".join(lines)


def value(expression, values):
    if expression == ".Release.Name":
        return "test"
    path, _, after = expression.removeprefix(".Values.").partition(" | ")
    found = str(lookup(values, path))
    if after == "quote":
        return '"' + found.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if after:
        sys.exit(f"{expression}: not known to this check")
    return found


def documented(text):
    """The values that have no comment before them."""
    before, bare = "", []
    for line in text.splitlines():
        if re.match(r"  \w+:", line) and not before.strip().startswith("#"):
            bare.append(line.strip())
        before = line
    return bare


def main():
    text = (CHART / "values.yaml").read_text()
    values, chart = yaml.safe_load(text), yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["apiVersion"] == "v2" and chart["version"], chart
    if bare := documented(text):
        sys.exit(f"without a comment: {bare}")
    used = set()
    for template in sorted((CHART / "templates").glob("*.yaml")):
        source = template.read_text()
        used |= set(re.findall(r"\.Values\.([\w.]+)", source))
        assert not render(source, values).strip(), f"{template.name} is not off by itself"
        part = template.stem
        full = {key: {name: item or "set" for name, item in of.items()} for key, of in values.items()}
        for way in (full, {**values, part: {**values[part], "enabled": True}}):
            made = [each for each in yaml.safe_load_all(render(source, way)) if each]
            assert [each["kind"] for each in made] == KINDS[part], made
            pod = made[-1]["spec"]["template"]["spec"]
            for container in pod["containers"] + pod["initContainers"]:
                confined = container["securityContext"]
                assert confined["readOnlyRootFilesystem"] and not confined["allowPrivilegeEscalation"]
            assert pod["securityContext"]["runAsNonRoot"]
    there = {f"{part}.{name}" for part, of in values.items() for name in of}
    if used != there:
        sys.exit(f"used and not there, or there and not used: {used ^ there}")


if __name__ == "__main__":
    main()
