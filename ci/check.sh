#!/usr/bin/env bash
# Every check of the project, a step each.
#
#   ci/check.sh              all of them; a failure does not stop the rest, and the end is a summary
#   ci/check.sh fmt clippy   these
#   ci/check.sh --list       their names
#
# A check that needs something this machine lacks says so and is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

export CARGO_TERM_COLOR=never
export RUST_BACKTRACE=1
# Everything is built once here: what serves debuggers and the next build costs minutes.
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
target="${CARGO_TARGET_DIR:-$PWD/target}"
crates=$(ls crates)

steps="fmt clippy test release guest doc links rows lines book monitor examples alone deps interop"
steps="$steps glib package instructions msrv unix loom asan miri"

check_fmt() {
    cargo fmt --all --check
}

check_clippy() {
    cargo clippy --workspace --all-targets --all-features -- -D warnings
}

check_test() {
    cargo test --workspace --all-features --no-fail-fast
}

# The tests of the loop and of what stands on it, with every loop a guest of another one.
check_guest() {
    [ "$(uname)" = Linux ] || skip "its host watches by epoll"
    export RUSTFLAGS="--cfg guest"
    cargo test --target-dir "$target/guest" --no-fail-fast --lib --tests \
        -p asyncio-loop -p asyncio-task -p asyncio-net -p asyncio
}

# The lines at which futures wait: they come from the compiler, so an optimised build has to show
# the same. Only the crates of the workspace are optimised. Their dependencies keep the profile of the
# step "test", which has built them.
check_release() {
    cargo test --workspace --all-features --test await_lines \
        --config 'profile.test.package."*".debug-assertions=true' \
        --config 'profile.test.package."*".opt-level=0' \
        --config 'profile.test.package."*".overflow-checks=true' \
        --config 'profile.test.debug-assertions=false' \
        --config 'profile.test.opt-level=3' \
        --config 'profile.test.overflow-checks=false'
}

check_doc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps
}

# Links between files, in every Markdown file.
check_links() {
    python3 ci/links.py
}

# Rows of docs/behaviours: every one that a test or a page names is there; a summary by area.
check_rows() {
    python3 ci/rows.py --check
}

# No line of code, comment or prose is wider than 100 columns.
check_lines() {
    python3 ci/lines.py
}

# The book's programs in Python; then the book itself, where there is an mdBook. The step "test" runs
# the book's programs in Rust.
check_book() {
    python3 ci/python_programs.py docs/FROM_PYTHON.md
    local mdbook=mdbook
    command -v mdbook >/dev/null || mdbook=$target/mdbook/bin/mdbook
    if ! command -v "$mdbook" >/dev/null; then
        echo "no mdbook: cargo install mdbook --root $target/mdbook"
        return
    fi
    "$mdbook" build docs --dest-dir "$target/book"
    python3 ci/links.py --html "$target/book"
}

# Each example that ends by itself. The others say "Runs until" in their first lines.
check_examples() {
    # The step "test" has built the examples with the same features.
    cargo build --workspace --all-features --examples
    local source
    for source in $(grep -L "^//! Runs until" examples/examples/*.rs); do
        run_example "$(basename "$source" .rs)"
    done
}

# A finished example prints nothing here; one that fails shows what it printed.
run_example() {
    local log="$target/example.log"
    echo "example $1"
    if ! timeout 300 "$target/debug/examples/$1" </dev/null >"$log" 2>&1; then
        cat "$log"
        return 1
    fi
}

# Each crate by itself: in the workspace, a feature that one crate asks for is on for all. Then the
# facade with few features.
check_alone() {
    local crate features
    for crate in $crates; do
        cargo check -q -p "$crate"
    done
    for features in "" macros net process process-pool http monitor quinn testing tokio-runtime; do
        cargo check -q -p asyncio --no-default-features --features "$features"
    done
    if cargo tree -q -p asyncio -e normal | grep -w serde; then
        echo "a program without process pools builds serde"
        return 1
    fi
    if cargo tree -q -p asyncio -e normal | grep -w hyper; then
        echo "a program without HTTP builds hyper"
        return 1
    fi
    if cargo tree -q -p asyncio -e normal | grep -w gimli; then
        echo "a program without stacks builds readers of debug information"
        return 1
    fi
}

# The monitor's page in a browser without a window.
check_monitor() {
    if ! command -v chromedriver >/dev/null || ! command -v chromium >/dev/null; then
        command -v apt-get >/dev/null || skip "no chromium, and no apt-get to install it"
        [ "$(id -u)" = 0 ] || skip "no chromium, and no right to install it"
        export DEBIAN_FRONTEND=noninteractive
        timeout 120 apt-get update -qq || skip "no chromium, and no list of packages"
        timeout 300 apt-get install -y -qq --no-install-recommends chromium chromium-driver \
            >"$target/chromium.log" 2>&1 || skip "chromium cannot be installed"
    fi
    # The limit is for the browser, not for the compiler.
    cargo test --workspace --all-features --test browser --no-run
    ASYNCIO_BROWSER=1 timeout 600 cargo test --workspace --all-features --test browser
}

# The crates of docs/ECOSYSTEM.md, against databases, caches and brokers.
check_interop() {
    ci/interop.sh
}

# The loop inside of glib's main loop.
check_glib() {
    pkg-config --exists glib-2.0 gobject-2.0 2>/dev/null || skip "no glib: libglib2.0-dev has it"
    cd examples/glib
    cargo fmt --check
    cargo clippy --target-dir "$target/glib" -- -D warnings
    timeout 60 cargo run --target-dir "$target/glib"
}

# Instructions for one operation of each kind, against the table of the last measurement.
check_instructions() {
    command -v valgrind >/dev/null || skip "no valgrind"
    python3 ci/instructions.py --check
}

# Every crate can be packed, and has what registries show.
check_package() {
    ci/package.sh
}

# The oldest versions of direct dependencies that the manifests allow. Only when it is named.
check_minimal() {
    cargo +nightly --version >/dev/null 2>&1 || skip "no nightly toolchain"
    mkdir -p "$target/minimal"
    rm -f "$target/minimal/Cargo.lock"
    export CARGO_RESOLVER_LOCKFILE_PATH="$target/minimal/Cargo.lock"
    cargo +nightly update -q -Zdirect-minimal-versions
    cargo +nightly check -q --target-dir "$target/minimal" --workspace --lib --all-features \
        --exclude asyncio-benches --exclude asyncio-examples --exclude asyncio-book
}

# The oldest compiler takes the crates; Debian's, where rustup has none.
check_msrv() {
    ci/msrv.sh
}

# The crates type-check for other Unix systems.
check_unix() {
    ci/unix.sh
}

# The fallbacks for what Linux has and other systems lack, on Linux. Only when it is named.
check_portable() {
    [ "$(uname)" = Linux ] || skip "here they are no fallbacks"
    export RUSTFLAGS="--cfg portable"
    cargo test --target-dir "$target/portable" --no-fail-fast --lib --tests \
        -p asyncio-loop -p asyncio-net -p asyncio-process
}

# Licences, sources and duplicates of what the crates are built from.
check_deps() {
    python3 ci/deps.py
}

# Every interleaving of the cross-thread paths.
check_loom() {
    export RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-3}"
    cargo test --release --target-dir "$target/loom" -p asyncio-loop --lib loom
}

# Use after free, double frees and leaks, in the crate with the unsafe code and the one above it.
check_asan() {
    local host
    cargo +nightly --version >/dev/null 2>&1 || skip "no nightly toolchain"
    host=$(rustc +nightly -vV | sed -n 's/^host: //p')
    export RUSTFLAGS="-Zsanitizer=address --cfg asan" RUST_BACKTRACE=0
    export ASAN_OPTIONS=fast_unwind_on_malloc=0:malloc_context_size=20
    export LSAN_OPTIONS=print_suppressions=0:suppressions=$PWD/ci/leaks.txt
    cargo +nightly test --target "$host" --target-dir "$target/asan" --no-fail-fast --lib --tests \
        -p asyncio-loop -p asyncio-task
}

check_miri() {
    cargo +nightly miri --version >/dev/null 2>&1 || skip "no nightly toolchain with miri"
    # Under miri the backtraces of panics on purpose would take most of the time.
    export MIRIFLAGS="-Zmiri-disable-isolation" RUST_BACKTRACE=0
    cargo +nightly miri test --target-dir "$target/miri" -p asyncio-loop --lib kernel
    cargo +nightly miri test --target-dir "$target/miri" -p asyncio-loop --test kernel
}

# Ends a step. 77 is what test harnesses take for "skipped".
skip() {
    echo "skipped: $1"
    exit 77
}

run_step() {
    local start=$SECONDS status=0
    echo
    echo "==> $1"
    # A process of its own: within a condition, `set -e` would not stop a function.
    "$BASH" ci/check.sh --step "$1" || status=$?
    case $status in
        0) summary+="ok       $1 ($((SECONDS - start)) s)"$'\n' ;;
        77) summary+="skipped  $1"$'\n' ;;
        *) summary+="FAILED   $1 ($((SECONDS - start)) s)"$'\n' failed=1 ;;
    esac
}

case "${1:-}" in
    --list)
        echo "$steps"
        exit
        ;;
    --step)
        "check_$2"
        exit
        ;;
esac

summary="" failed=0
for step in ${*:-$steps}; do
    run_step "$step"
done
echo
echo "==> summary"
printf '%s' "$summary"
exit "$failed"
