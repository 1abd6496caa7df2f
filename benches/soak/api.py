"""Every operation of the API with what its description allows and what it does not: no answer may be
a 5xx, nor another than the description tells. By schemathesis, from PyPI, in a folder of its own."""
import re
import subprocess
import sys
import time
from pathlib import Path

from world import World, fail, table

ROOT = Path(__file__).resolve().parents[2]
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance",
          "response_schema_conformance", "unsupported_method"]


def run(opts):
    tool = installed()
    rows = [held(opts, tool, who) for who in ("admin", "auditor")]
    table(f"The API against its description, {opts.examples} examples an operation",
          ["as", "operations", "cases", "answers that are not as described", "still signed in",
           "panics"],
          [row[1:] for row in rows])
    return sum(not row[0] and fail(f"api as {row[1]}") for row in rows)


def held(opts, tool, who):
    world = World(opts.bin)
    try:
        token = world.token
        if who == "auditor":
            world.run("adit", "admin", "user", "add", "looker", "--auditor")
            token = world.run("adit", "admin", "token", "issue", "--user", "looker", "--kind", "admin")
        # Below the rate that one token has, and long enough for none to be left out.
        done = subprocess.run(
            [tool, "run", ROOT / "docs/openapi.json", "--url", world.url(),
             "--tls-verify", world.home / "ca.pem", "-H", f"Authorization: Bearer {token}",
             "--max-examples", str(opts.examples), "--phases", "examples,coverage,fuzzing",
             "--rate-limit", "40/s", "--checks", ",".join(CHECKS), "--continue-on-failure",
             "--exclude-path-regex", "^/(healthz|.well-known)", "--warnings", "off", "--no-color"],
            # Where it leaves what it remembers.
            cwd=world.root, capture_output=True, text=True)
        said, panics = done.stdout + done.stderr, world.panics()
        # Had a case taken the token away, every answer after it would be the same refusal.
        # The cases have used up the token's rate.
        time.sleep(10)
        world.token = token
        signed_in = world.call(world.api(), "GET", "users")[0] == 200
        print(world.call(world.api(), "GET", "users"), world.call(world.api(),"GET","me"))
        failures = len(re.findall(r"^- .*", said, re.M))
        if done.returncode:
            print(said, file=sys.stderr)
        good = done.returncode == 0 and signed_in and not panics
        return (good, who, found(r"Operations:\s+(\d+)", said),
                found(r"(\d+) generated", said), failures, "yes" if signed_in else "no", panics)
    finally:
        world.end()


def found(pattern, text):
    match = re.search(pattern, text)
    return match.group(1) if match else "?"


def installed():
    venv = ROOT / "target/soak-api"
    if not (venv / "bin/st").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin/pip", "--quiet", "install", "schemathesis==4.32.0"], check=True)
    return venv / "bin/st"
