"""The documentation against what is there: commands exist, links lead somewhere, endpoints are the same everywhere."""

import re
import shlex
import subprocess

import pytest
import yaml
from harness import COMMAND, ROOT

TRACKED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"], cwd=ROOT, capture_output=True, text=True
).stdout.split()
PAGES = sorted(name for name in TRACKED if (ROOT / name).is_file())
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")


def text_of(page):
    return (ROOT / page).read_text()


def commands(page):
    """Every `./ctl.sh …` a page shows, in blocks and in running text, without what a reader fills in."""
    text = text_of(page)
    pieces = [line for block in FENCE.findall(text) for line in block.splitlines()]
    pieces += INLINE.findall(FENCE.sub("", text))
    for piece in pieces:
        for part in re.split(r"&&|;|\|", piece.split(" #")[0]):
            part = part.strip().removeprefix("$ ").removeprefix("sudo ").strip()
            if part.startswith("./ctl.sh"):
                yield part


def help_of(words):
    """The help of a subcommand, or None if there is none such."""
    done = subprocess.run([COMMAND, *words, "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600)
    return done.stdout if done.returncode == 0 else None


def check(line):
    """What is wrong with a command line, or None. Subcommands are followed as far as help knows them; flags must be known."""
    words = shlex.split(line.replace("…", "").replace("[", " ").replace("]", " "))[1:]
    if not words or words[0] == "test":
        suites = (ROOT / "ctl/test.sh").read_text().split("suites='")[1].split("'")[0].split()
        unknown = [word for word in words[1:] if re.fullmatch("[a-z-]+", word) and word not in [*suites, "suite", "--list"]]
        return f"no such suite: {unknown}" if unknown else None
    path = []
    text = help_of([])
    for word in words:
        subcommands = re.findall(r"^  ([a-z][a-z-]*)\b", text.split("Commands:")[1].split("\n\n")[0], re.MULTILINE) if (
            "Commands:" in text) else []  # fmt: skip
        if not subcommands:
            break
        if word.startswith("-"):
            continue
        if word not in subcommands:
            return f"'{word}' is none of {subcommands}"
        path.append(word)
        text = help_of(path)
        if text is None:
            return f"no help for {path}"
    for word in words:
        flag = word.split("=")[0]
        if re.fullmatch(r"--[a-z][a-z-]*", flag) and not re.search(rf"{flag}\b", text + help_of([])):
            return f"{' '.join(path)} has no {flag}"
    return None


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page):
    wrong = {line: problem for line in commands(page) if (problem := check(line))}
    assert not wrong


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", text_of(page))
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        if not (ROOT / page).parent.joinpath(target.split("#")[0]).exists():
            missing.append(target)
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_files_named_exist(page):
    """Paths in backquotes that look like ours."""
    roots = r"(?:crates|docs|tests|ctl|api|examples|fuzz|\.ci)"
    missing = [
        name
        for name in INLINE.findall(FENCE.sub("", text_of(page)))
        if re.fullmatch(rf"{roots}/[A-Za-z0-9_./-]+", name) and not (ROOT / name).exists()
    ]
    assert not missing


def test_api_page_and_openapi_name_the_same_endpoints():
    """Core endpoints: those of the tables of docs/api.md. Services' (tagged so) are described by the services."""
    written = set()
    for path, methods in re.findall(r"^\| `(/[^`]*)` \| ([^|]+) \|", text_of("docs/api.md"), re.MULTILINE):
        written |= {(path, "GET" if method.strip() == "WebSocket" else method.strip()) for method in methods.split(",")}
    page = yaml.safe_load((ROOT / "api/openapi.yaml").read_text())
    described = {
        (path, method.upper())
        for path, item in page["paths"].items()
        for method, operation in item.items()
        if "services" not in operation["tags"]
    }
    assert described == written
