#!/usr/bin/env bash
# Runs the tests of this repository: `./ctl.sh test [suite]...`. Installs what a suite needs, writes what it says to
# build/test-logs/<suite>.log, and ends with a line per suite and `N passed, N failed` (tests, where a suite counts them).
set -u

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root" || exit 1
logs=$root/build/test-logs
target=${CARGO_TARGET_DIR:-$root/target}
venv=.venv
# A suite that ends with this status was skipped; the last line of its log says why.
skipped=77
# The crates that must build without an operating system, and a chip without atomic compare-and-swap, as the ESP8266 is.
node_crates='spore-hal spore-wire spore-image spore-core spore-boot spore-node spore-heap'
bare_target=thumbv6m-none-eabi

suites='fmt shell deny clippy no-std fuzz rust serial lab peer api page qemu docs'
# These mostly wait, each for a lab of its own: they run side by side.
together='lab peer api page'
about() {
  case $1 in
    fmt) echo 'cargo fmt --check' ;;
    shell) echo 'shellcheck of every shell script' ;;
    deny) echo 'licences, sources, duplicates, banned crates and layering (deny.toml), offline' ;;
    clippy) echo 'clippy on all targets, warnings are errors' ;;
    no-std) echo "the node's crates build for $bare_target" ;;
    fuzz) echo 'the fuzz targets compile (needs a nightly toolchain)' ;;
    rust) echo 'unit, property, integration and documentation tests' ;;
    serial) echo 'flashing and the monitor: the real esptool, a chip imitated on a pseudo-terminal (tests/serial); Linux' ;;
    lab) echo 'a lab of five nodes through the command line and over HTTP, faults included (tests/system)' ;;
    peer) echo 'C++ SPORE nodes, imitated, in one network with ours (tests/peer); Linux, root' ;;
    api) echo 'a live node answers as api/openapi.yaml says, whatever it is sent (schemathesis)' ;;
    page) echo "a node's page in a real browser (tests/page)" ;;
    qemu) echo 'the ESP8266 firmware in QEMU: start, update, power cuts, and the stand-ins of ROM and SDK (tests/qemu)' ;;
    docs) echo 'commands and endpoints in the documentation exist' ;;
  esac
}

usage() {
  echo 'Usage: ./ctl.sh test [suite]...'
  echo
  echo 'Runs all suites, or the ones named. Logs: build/test-logs/<suite>.log'
  echo
  for suite in $suites; do printf '  %-8s %s\n' "$suite" "$(about "$suite")"; done
}

# --- what suites need -------------------------------------------------------------------------------------------------

skip() {
  printf '%s\n' "$1"
  exit $skipped
}

# Runs a command as root if that needs no question answered.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# need <command> <Debian package>: makes a command available, or fails saying how.
need() {
  command -v "$1" >/dev/null 2>&1 && return
  if command -v apt-get >/dev/null 2>&1; then
    echo "installing $2"
    as_root apt-get install -y -q "$2" </dev/null || {
      as_root apt-get update -q </dev/null && as_root apt-get install -y -q "$2" </dev/null
    }
  fi
  if ! command -v "$1" >/dev/null 2>&1; then
    echo "'$1' is needed and could not be installed. Try: sudo apt-get install $2"
    return 1
  fi
}

# Makes the Python environment, again when tests/requirements.txt changed.
python() {
  need python3 python3 || return
  if ! cmp -s tests/requirements.txt "$venv/requirements.txt"; then
    python3 -c 'import ensurepip, venv' 2>/dev/null || {
      echo 'installing python3-venv'
      as_root apt-get install -y -q python3-venv </dev/null || return
    }
    echo 'making the Python environment'
    python3 -m venv "$venv" &&
      "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt &&
      cp tests/requirements.txt "$venv/requirements.txt" || return
  fi
}

# The `spore` command, built as ctl.sh builds it.
spore() {
  "$root/ctl.sh" --version && export SPORE="$target/release/spore"
}

# The emulator, the tools that the firmware is built with, and the firmware, checked. Skips the suite where the tools cannot be had.
emulated() {
  need qemu-system-xtensa qemu-system-misc || skip 'no QEMU for Xtensa, and it could not be installed'
  qemu-system-xtensa -netdev help | grep -qx user || skip 'this QEMU was built without its user network'
  need xtensa-lx106-elf-ld binutils-xtensa-lx106 || skip "no binutils for the ESP8266's core, and they could not be installed"
  need xtensa-lx106-elf-gcc gcc-xtensa-lx106 || skip "no gcc for the ESP8266's core, and it could not be installed"
  firmware_rust || skip "no Rust of firmware/rust-toolchain.toml with rust-src, and it could not be installed"
  spore && "$SPORE" build
}

# The firmware's Rust, with the components given beside rust-src.
firmware_rust() {
  local channel components='--component rust-src' component
  channel=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' firmware/rust-toolchain.toml)
  for component; do components="$components --component $component"; done
  if [ -d "$(rustc "+$channel" --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library" ]; then
    [ $# = 0 ] || cargo "+$channel" "$1" --version >/dev/null 2>&1 && return
  fi
  # shellcheck disable=SC2086 # a list of words
  rustup toolchain install "$channel" --no-self-update --profile minimal $components
}

# Runs pytest, after the words given in `wrap` (a namespace, say). What it counted goes into <suite>.*.xml.
run_pytest() {
  # shellcheck disable=SC2086 # a list of words, or none
  ${wrap-} "$venv/bin/python" -m pytest -p no:cacheprovider --durations=10 --junit-xml="$logs/$suite.${part-all}.xml" "$@"
}

# --- the suites: each in a shell of its own, status 0, 77 (skipped) or anything else (failed) --------------------------

suite_fmt() { cargo fmt --all --check -- --color never; }

suite_shell() {
  need shellcheck shellcheck || return
  # By their first line, so that a script without the ending is not forgotten.
  local scripts
  scripts=$(git ls-files --cached --others --exclude-standard | while read -r file; do
    [ -f "$file" ] && head -n 1 "$file" | grep -qE '^#!.*[/ ](ba)?sh( |$)' && echo "$file"
  done)
  echo "$scripts"
  # shellcheck disable=SC2086 # a list of files
  shellcheck $scripts
}

suite_deny() {
  python || return
  "$venv/bin/python" ctl/check_dependencies.py
}

suite_clippy() {
  cargo clippy --workspace --all-targets --locked -- -D warnings || return
  firmware_rust clippy || { echo 'without the firmware: no clippy of its Rust'; return 0; }
  local feature
  for feature in '' sensor; do
    (cd firmware && cargo clippy --release --locked --package spore-firmware --features "$feature" -- -D warnings) || return
  done
  (cd firmware && cargo clippy --release --locked --workspace -- -D warnings)
}

suite_no_std() {
  if command -v rustup >/dev/null 2>&1; then
    rustup target list --installed | grep -qx "$bare_target" || rustup target add "$bare_target" ||
      skip "rustup cannot install the target $bare_target here"
  else
    skip 'no rustup: no other target than the host'
  fi
  local packages='' crate
  for crate in $node_crates; do packages="$packages --package $crate"; done
  # shellcheck disable=SC2086 # a list of words
  cargo build --locked --lib --target "$bare_target" $packages
}

suite_fuzz() {
  [ -f fuzz/Cargo.toml ] || skip 'there are no fuzz targets yet'
  rustup toolchain list 2>/dev/null | grep -q '^nightly' || skip 'no nightly toolchain: rustup toolchain install nightly'
  # libFuzzer itself is C++.
  need c++ g++ || return
  (cd fuzz && cargo +nightly check --bins --target-dir "$target/fuzz")
}

suite_rust() {
  local status=0
  if command -v cargo-nextest >/dev/null 2>&1; then
    cargo nextest run --workspace --locked --no-fail-fast --cargo-quiet --status-level fail || status=1
    cargo test --workspace --locked --doc --no-fail-fast || status=1
  else
    cargo test --workspace --locked --no-fail-fast || status=1
  fi
  return $status
}

suite_serial() {
  [ "$(uname -s)" = Linux ] || skip "needs Linux's pseudo-terminals"
  python && spore || return
  # In the project's own folder, as a user gets it; the tests' projects are elsewhere.
  SPORE_ESPTOOL=$("$SPORE" flash --prepare) || skip 'no esptool, and it could not be installed'
  export SPORE_ESPTOOL
  run_pytest tests/serial
}

suite_lab() {
  python && need curl curl && spore || return
  run_pytest tests/system
}

suite_peer() {
  [ "$(uname -s)" = Linux ] || skip 'needs Linux network namespaces'
  [ -c /dev/net/tun ] || skip 'there is no /dev/net/tun here'
  need ip iproute2 || return
  # Root's own namespace, or one of a user's own where the system lets users have them. It ends with its last process.
  local inside='unshare --net'
  $inside true 2>/dev/null || inside='unshare --user --map-root-user --net'
  $inside true 2>/dev/null || skip 'network namespaces are not allowed here (try as root)'
  python && need curl curl && spore || return
  export SPORE_TEST_NETNS=1
  wrap=$inside run_pytest tests/peer
}

suite_api() {
  python && spore || return
  run_pytest tests/api
}

suite_page() {
  [ -d tests/page ] || skip 'there are no tests of the page yet'
  python && spore || return
  if ! command -v chromium >/dev/null 2>&1 && ! command -v google-chrome >/dev/null 2>&1; then
    need chromium chromium || skip 'no browser: chromium could not be installed'
  fi
  if ! command -v chromedriver >/dev/null 2>&1; then
    need chromedriver chromium-driver || skip 'no chromedriver: chromium-driver could not be installed'
  fi
  part=mock run_pytest tests/page
  local mocked=$?
  part=live wrap="$venv/bin/python tests/with_lab.py" run_pytest tests/page && [ $mocked -eq 0 ]
}

suite_qemu() {
  python && emulated || return
  # The stand-ins' tests mostly wait, those of the firmware mostly compute: they run side by side.
  local standins='test_answers.py test_rom.py test_sdk.py' status file ignored='' files=''
  for file in $standins; do
    files="$files tests/qemu/$file"
    ignored="$ignored --ignore=tests/qemu/$file"
  done
  # shellcheck disable=SC2086 # lists of words
  part=standins run_pytest $files >"$logs/qemu.standins.txt" 2>&1 &
  # shellcheck disable=SC2086
  part=firmware run_pytest tests/qemu $ignored
  status=$?
  wait $! || status=1
  cat "$logs/qemu.standins.txt"
  return $status
}

suite_docs() {
  python && spore || return
  run_pytest tests/docs
}

# --- running and reporting ----------------------------------------------------------------------------------------------

# The number of tests a suite ran, as `passed failed`: from pytest's reports, or from what cargo and nextest print.
count() {
  local file=$logs/$1
  if ls "$file".*.xml >/dev/null 2>&1; then
    python3 ctl/count_junit.py "$file".*.xml
  else
    awk '
      /^test result:/ { passed += $4; failed += $6; seen = 1 }
      / tests run: / {
        line = $0; sub(/^.* tests run: /, "", line); gsub(/\([^)]*\)/, "", line); n = split(line, part, ", ")
        for (i = 1; i <= n; i++) {
          if (part[i] ~ /passed/) passed += part[i]
          if (part[i] ~ /failed|timed out/) failed += part[i]
        }
        seen = 1
      }
      END { if (seen) print passed + 0, failed + 0 }
    ' "$file.log"
  fi
}

# Starts a suite beside this script, in a process group of its own; its status and seconds end up in <suite>.result.
start_suite() {
  suite=$1
  printf 'run  %-8s %s\n' "$suite" "$(about "$suite")"
  rm -f "$logs/$suite".*
  set -m
  (
    begin=$SECONDS
    ("suite_$(echo "$suite" | tr - _)") >"$logs/$suite.log" 2>&1 </dev/null
    echo "$? $((SECONDS - begin))" >"$logs/$suite.result"
  ) &
  started="$started $suite:$!"
  set +m
}

# Waits for the suites started, writes their lines and adds to the totals.
finish_suites() {
  local each
  for each in $started; do
    wait "${each#*:}"
    report "${each%:*}"
  done
  started=''
}

report() {
  local suite=$1 log=$logs/$1.log status=1 seconds=0 counts passed=0 failed=0 tests=''
  [ -s "$logs/$suite.result" ] && read -r status seconds <"$logs/$suite.result"
  if [ "$status" -eq $skipped ]; then
    lines="$lines$(printf 'skip %-8s %s' "$suite" "$(tail -n 1 "$log")")"$'\n'
    return
  fi
  counts=$(count "$suite")
  if [ -n "$counts" ]; then
    passed=${counts% *}
    failed=${counts#* }
    tests="$((passed + failed)) tests"
  elif [ "$status" -eq 0 ]; then
    passed=1
  fi
  # A suite that failed without naming a test that failed is a failure itself.
  if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
  if [ "$failed" -eq 0 ]; then
    lines="$lines$(printf 'ok   %-8s %12s %5d s' "$suite" "$tests" "$seconds")"$'\n'
  else
    lines="$lines$(printf 'FAIL %-8s %12s %5d s  %s' "$suite" "$tests" "$seconds" "build/test-logs/$suite.log")"$'\n'
    printf '\n--- %s failed; the end of its log:\n' "$suite"
    tail -n 60 "$log"
    printf -- '---\n\n'
  fi
  total_passed=$((total_passed + passed))
  total_failed=$((total_failed + failed))
}

# Ends what runs, with time to stop its labs.
interrupted() {
  local each
  for each in $started; do kill -INT -- "-${each#*:}" 2>/dev/null; done
  wait
  exit 130
}

chosen=''
for argument in "$@"; do
  case $argument in
    -h | --help | --list)
      usage
      exit 0
      ;;
  esac
  case " $suites " in
    *" $argument "*) chosen="$chosen $argument" ;;
    *)
      echo "There is no suite '$argument'." >&2
      usage >&2
      exit 2
      ;;
  esac
done

mkdir -p "$logs"
# A shell and Python must not write elsewhere in the tree, and no tool may ask a question.
export PYTHONDONTWRITEBYTECODE=1 DEBIAN_FRONTEND=noninteractive CARGO_TERM_COLOR=never
total_passed=0
total_failed=0
lines=''
started=''
trap interrupted INT TERM
for name in ${chosen:-$suites}; do
  case " $together " in
    *" $name "*)
      # What they share is made before they run side by side.
      if [ -z "$started" ]; then (python && spore) >"$logs/prepare.log" 2>&1 </dev/null; fi
      start_suite "$name"
      ;;
    *)
      finish_suites
      start_suite "$name"
      finish_suites
      ;;
  esac
done
finish_suites

printf '\n%s\n%d passed, %d failed\n' "$lines" "$total_passed" "$total_failed"
[ "$total_failed" -eq 0 ]
