#!/usr/bin/env bash
# The front door of SPORE. Sets this machine up on first use, builds the `spore` command when its sources changed, and
# hands every argument to it. `./ctl.sh test` runs the tests (ctl/test.sh). Needs Rust (rustup) and a C linker, no more.
set -eu

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
target=${CARGO_TARGET_DIR:-$root/target}
binary=$target/release/spore
# Touched with the time at which the last good build began: what is newer was not in it.
stamp=$target/release/.spore-built

say() { printf '%s\n' "ctl.sh: $*" >&2; }

# Prints the line given and the commands that mend it, and stops.
stop_with() {
  say "$1"
  shift
  printf '    %s\n' "$@" >&2
  exit 1
}

# Runs a command as root: directly, or through sudo when that is possible here.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    sudo "$@"
  else
    return 1
  fi
}

need_rust() {
  if ! command -v cargo >/dev/null 2>&1 && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
    PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    export PATH
  fi
  local channel
  channel=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' "$root/rust-toolchain.toml")
  if command -v rustup >/dev/null 2>&1; then
    if ! rustup toolchain list | grep -q "^$channel"; then
      say "installing Rust $channel (once)"
      rustup toolchain install "$channel" --no-self-update --profile minimal --component clippy --component rustfmt >&2 ||
        stop_with "Rust $channel could not be installed. Try:" "rustup toolchain install $channel"
    fi
  elif ! command -v cargo >/dev/null 2>&1; then
    # (A distribution's cargo does, if it is new enough; cargo itself says so when it is not, by rust-version.)
    stop_with "Rust is not installed. Install it, then run the same command again:" \
      "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --default-toolchain $channel --profile minimal" \
      ". \"\$HOME/.cargo/env\""
  fi
}

need_linker() {
  command -v cc >/dev/null 2>&1 && return
  if command -v apt-get >/dev/null 2>&1; then
    say "installing a C linker (once)"
    if as_root apt-get install -y -q gcc libc6-dev >&2 ||
      { as_root apt-get update -q >&2 && as_root apt-get install -y -q gcc libc6-dev >&2; }; then
      return
    fi
    stop_with "a C linker (cc) is missing. Install it, then run the same command again:" \
      "sudo apt-get update" "sudo apt-get install -y gcc libc6-dev"
  fi
  stop_with "a C linker (cc) is missing. Install it, then run the same command again:" \
    "xcode-select --install            # macOS" \
    "sudo dnf install -y gcc glibc-devel   # Fedora" \
    "sudo pacman -S --needed gcc           # Arch"
}

# The emulator, for `up --emulated`. Without apt-get the command itself says what is missing.
need_qemu() {
  [ -z "${SPORE_QEMU-}" ] && ! command -v qemu-system-xtensa >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1 || return 0
  say "installing QEMU for emulated nodes (once)"
  as_root apt-get install -y -q --no-install-recommends qemu-system-misc >&2 ||
    { as_root apt-get update -q >&2 && as_root apt-get install -y -q --no-install-recommends qemu-system-misc >&2; } ||
    stop_with "QEMU could not be installed. Install it, then run the same command again:" \
      "sudo apt-get update" "sudo apt-get install -y qemu-system-misc"
}

# Whether anything the command is built from changed since the last good build. Folders count: a file may have gone.
stale() {
  [ -x "$binary" ] && [ -e "$stamp" ] || return 0
  [ -n "$(find "$root/Cargo.toml" "$root/Cargo.lock" "$root/rust-toolchain.toml" "$root/crates" "$root/examples" \
    -newer "$stamp" -print 2>/dev/null | head -n 1)" ]
}

build() {
  need_rust
  need_linker
  local quiet=
  if [ ! -x "$binary" ]; then
    say "building the spore command (the first time takes a few minutes)"
  fi
  [ -t 2 ] || quiet=--quiet
  mkdir -p "$target/release"
  local began=$stamp.$$
  : >"$began"
  # In the root, so that rustup reads rust-toolchain.toml; cargo's own lock orders several of us.
  if ! (cd "$root" && cargo build ${quiet:+"$quiet"} --release --package spore --bin spore --target-dir "$target" >&2); then
    rm -f "$began"
    say "the spore command could not be built, see above"
    exit 1
  fi
  mv -f "$began" "$stamp"
}

case ${1-} in
  test)
    shift
    need_rust
    need_linker
    exec "$root/ctl/test.sh" "$@"
    ;;
esac

if stale; then build; fi

case " $* " in
  *' up'*' --emulated'* | *' bench emulated'*) need_qemu ;;
esac

case $#:${1-} in
  0: | 1:help | 1:--help | 1:-h)
    "$binary" --help
    printf '\nOnly through ctl.sh:\n  test [suite]...  Run the tests; ./ctl.sh test --list names the suites\n'
    ;;
  *) exec "$binary" "$@" ;;
esac
