"""Every operation of the API with what its description allows and what it does not, by somebody of
each role: no answer may be a 5xx, nor another than the description tells. By schemathesis."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from world import World, fail, table

ROOT = Path(__file__).resolve().parents[2]
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance",
          "response_schema_conformance", "unsupported_method"]
# They take a token away, and lists tell which there are: these have a token to lose.
TAKING = ["revokeMyToken", "revokeToken", "revokeTokens", "logout"]


def run(opts):
    if not opts.schemathesis:
        sys.exit("--schemathesis says where it is; `cargo xtask soak` installs it")
    rows = [held(opts, opts.schemathesis, who) for who in opts.roles]
    table(f"The API against its description, {opts.examples} examples an operation",
          ["as", "operations", "cases", "answers that are not as described", "let through",
           "refused", "told to wait", "still signed in", "panics"],
          [row[1:] for row in rows])
    return sum(not row[0] and fail(f"api as {row[1]}") for row in rows)


def held(opts, tool, who):
    # As many calls as it takes: a case that is told to wait has tried nothing.
    world = World(opts.bin, more="\n[limits]\napi_calls = 100000\n")
    try:
        token, last_token = issued(world, who)
        known = [word for name in TAKING for word in ("--exclude-operation-id", name)]
        main = tried(opts, tool, world, token, known, caller=user_of(who))
        # Had a case taken the token away, every answer after it would be the same refusal.
        world.token = token
        signed_in = world.call(world.api(), "GET", "me")[0] == 200
        last = [word for name in TAKING for word in ("--include-operation-id", name)]
        rest = tried(opts, tool, world, last_token, last)
        runs, panics = (main, rest), world.panics()
        told = [sum(run.answers.get(kind, 0) for run in runs) for kind in ("good", "refused", "throttled")]
        good = all(run.good for run in runs) and signed_in and not panics and not told[2]
        return (good, who, sum(run.operations for run in runs), sum(run.cases for run in runs),
                sum(run.failures for run in runs), *told, "yes" if signed_in else "no", panics)
    finally:
        world.end()


def user_of(who):
    return "admin" if who == "admin" else "looker"


def issued(world, who):
    """Two tokens of somebody who may do what `who` says."""
    user = user_of(who)
    if who != "admin":
        world.run("adit", "admin", "user", "add", user, *(["--auditor"] if who == "auditor" else []))
    kind = ["login", "--uses", 1_000_000] if who == "user" else ["admin"]
    issue = ["adit", "admin", "token", "issue", "--user", user, "--kind", *kind]
    return world.run(*issue), world.run(*issue)


class Tried:
    def __init__(self, done, answers):
        said = done.stdout + done.stderr
        self.good = done.returncode == 0
        self.failures = len(re.findall(r"^- .*", said, re.M))
        self.operations = found(r"Operations:\s+(\d+)", said)
        self.cases = found(r"(\d+) generated", said)
        self.answers = json.loads(answers.read_text())
        if not self.good:
            print(said, file=sys.stderr)


def tried(opts, tool, world, token, which, caller=""):
    answers = world.root / "answers.json"
    done = subprocess.run(
        [tool, "run", ROOT / "docs/openapi.json", "--url", world.url(),
         "--tls-verify", world.home / "ca.pem", "-H", f"Authorization: Bearer {token}",
         "--max-examples", str(opts.examples), "--phases", "examples,coverage,fuzzing",
         "--checks", ",".join(CHECKS), "--continue-on-failure",
         # Names have patterns, and a user has lists of several; what is thrown away costs only time.
         "--suppress-health-check", "filter_too_much",
         "--exclude-path-regex", "^/(healthz|.well-known)", "--warnings", "off", "--no-color", *which],
        # Where it leaves what it remembers.
        cwd=world.root, capture_output=True, text=True,
        env=dict(os.environ, PYTHONPATH=str(Path(__file__).parent), SCHEMATHESIS_HOOKS="answers",
                 ANSWERS=str(answers), CALLER=caller))
    return Tried(done, answers)


def found(pattern, text):
    match = re.search(pattern, text)
    return int(match.group(1)) if match else 0
