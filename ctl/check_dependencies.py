"""Checks what the workspace depends on against deny.toml and the layering, from `cargo metadata` alone (no network).

- licences: every crate's SPDX expression can be met with licences of the allow list;
- sources: crates come from the registries of the allow list or from this repository, never from git;
- bans: no banned crate, no version requirement `*`, no crate in two incompatible versions unless listed under `skip`;
- layering: our crates depend on one another downwards only, and those that run on a node need no std of their own kin.

cargo-deny reads the same file and checks advisories too, which needs the network: run `cargo deny check` for that.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Which of our crates each of our crates may use. Tests (dev-dependencies) may use what they like.
LAYERS = {
    "spore-sentence": set(),
    "spore-wire": {"spore-sentence"},
    "spore-image": {"spore-sentence"},
    "spore-core": {"spore-sentence", "spore-wire", "spore-image"},
    "spore-boot": {"spore-sentence", "spore-wire", "spore-image"},
    "spore-heap": set(),
    "spore-pack": {"spore-image", "spore-boot"},
    "spore-answers": {"spore-wire", "spore-image"},
    "spore-node": {"spore-sentence", "spore-wire", "spore-image", "spore-core", "spore-boot"},
    "spore-lan": {"spore-wire", "spore-image", "spore-core", "spore-boot"},
    "spore-hal": set(),
    "hello": {"spore-node"},
    "relay": {"spore-node", "spore-hal"},
    "sensor": {"spore-node", "spore-hal"},
    "spore-lab": {"spore-wire", "spore-image", "spore-core", "spore-boot", "spore-node", "spore-lan", "spore-hal", "hello", "relay"},
    "spore": {
        "spore-wire", "spore-image", "spore-core", "spore-boot", "spore-node", "spore-lan", "spore-lab", "hello", "relay",
        "spore-pack",
    },
}  # fmt: skip


def licence_allowed(expression, allowed):
    """Whether an SPDX expression can be met with the licences allowed. `/` is the old way to write OR."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    position = 0

    def either():
        nonlocal position
        met = both()
        while position < len(tokens) and tokens[position] == "OR":
            position += 1
            right = both()
            met = met or right
        return met

    def both():
        nonlocal position
        met = one()
        while position < len(tokens) and tokens[position] == "AND":
            position += 1
            right = one()
            met = met and right
        return met

    def one():
        nonlocal position
        token = tokens[position]
        position += 1
        if token == "(":
            met = either()
            position += 1
            return met
        if position < len(tokens) and tokens[position] == "WITH":
            token = f"{token} WITH {tokens[position + 1]}"
            position += 2
        return token in allowed

    return either() if tokens else False


def compatible(version):
    """The part of a version that decides compatibility for cargo: 1.2.3 -> 1, 0.4.2 -> 0.4, 0.0.3 -> 0.0.3."""
    parts = version.split("+")[0].split("-")[0].split(".")
    for count, part in enumerate(parts, start=1):
        if part != "0":
            return ".".join(parts[:count])
    return version


def cargo(*arguments):
    """What a cargo command prints; the lock file must be up to date."""
    done = subprocess.run(["cargo", *arguments, "--locked"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def main():
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    metadata = json.loads(cargo("metadata", "--format-version", "1"))
    problems = []
    # Cargo.lock, and with it the metadata, also names what no feature in use asks for; the tree does not.
    tree = cargo("tree", "--workspace", "--target", "all", "--edges", "all", "--prefix", "none", "--format", "{p}")
    used = {tuple(line.split()[:2]) for line in tree.splitlines() if line}
    packages = [each for each in metadata["packages"] if (each["name"], f"v{each['version']}") in used]
    ours = {package["name"] for package in packages if package["id"] in metadata["workspace_members"]}

    allowed = set(rules["licenses"]["allow"])
    for package in packages:
        licence = package.get("license")
        if not licence:
            problems.append(f"{package['name']} {package['version']} states no licence")
        elif not licence_allowed(licence, allowed):
            problems.append(f"{package['name']} {package['version']}: licence '{licence}' is not on the allow list")

    registries = {f"registry+{address}" for address in rules["sources"]["allow-registry"]}
    for package in packages:
        source = package["source"]
        if source is not None and source not in registries:
            problems.append(f"{package['name']} {package['version']} comes from {source}")
        if source is None and package["name"] not in ours:
            problems.append(f"{package['name']} is a path dependency from outside the workspace")

    banned = {rule["crate"] for rule in rules["bans"]["deny"]}
    skipped = {rule["crate"] for rule in rules["bans"]["skip"]}
    versions = {}
    for package in packages:
        if package["name"] in banned:
            problems.append(f"{package['name']} is banned (deny.toml says why)")
        versions.setdefault(package["name"], set()).add(package["version"])
    for name, several in sorted(versions.items()):
        if len({compatible(version) for version in several}) > 1 and name not in skipped:
            problems.append(f"{name} is there in several versions: {', '.join(sorted(several))}")
    for name in sorted(skipped):
        if len(versions.get(name, ())) < 2:
            problems.append(f"deny.toml skips {name}, which is no longer there twice: take it off the list")

    for package in packages:
        if package["name"] not in ours:
            continue
        for dependency in package["dependencies"]:
            # A path dependency's requirement is `*`; only registries' count.
            if dependency["req"] == "*" and dependency.get("path") is None:
                problems.append(f"{package['name']} depends on any version of {dependency['name']}")
            if dependency["kind"] == "dev" or dependency["name"] not in ours:
                continue
            if package["name"] in LAYERS and dependency["name"] not in LAYERS[package["name"]]:
                problems.append(f"{package['name']} must not depend on {dependency['name']}: it lies above or beside")
        if package["name"] not in LAYERS:
            problems.append(f"{package['name']} has no place in the layering of ctl/check_dependencies.py")

    for problem in problems:
        print(problem)
    print(f"{len(packages)} crates, {len(ours)} of them ours: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
