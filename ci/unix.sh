#!/usr/bin/env bash
# Type-checks the crates for other Unix systems, by a compiler of Debian.
#
#   ci/unix.sh                          macOS, FreeBSD, Android, Linux on other processors
#   ci/unix.sh aarch64-linux-android    this one
#   ci/unix.sh --tests [SYSTEM …]       tests and more crates, too, which takes several times as long
#
# No standard library for these systems is needed from anywhere: its source is checked as well,
# which takes seconds. Nothing is linked or run. Ends with 77 where there is no Debian.
set -euo pipefail
cd "$(dirname "$0")/.."

every="aarch64-apple-darwin x86_64-unknown-freebsd aarch64-linux-android"
every="$every aarch64-unknown-linux-gnu i686-unknown-linux-gnu"
target_dir="${CARGO_TARGET_DIR:-$PWD/target}"

rust=$(ci/debian_rust.sh 1.96 "$target_dir/rust-1.96" src)
rustlib="$rust/usr/lib/rustlib"

export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
# The standard library is built with unstable features.
export RUSTC_BOOTSTRAP=1

# The metadata of the standard library, put where the compiler looks for the library itself.
check_std() {
    local missing=() target
    for target in "$@"; do
        [ -e "$rustlib/$target/complete" ] || missing+=("$target")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    (
        cd "$rustlib/src/rust/library"
        export RUSTFLAGS="-Zforce-unstable-if-unmarked --cap-lints allow"
        export __CARGO_DEFAULT_LIB_METADATA=std
        "$rust/cargo" check --quiet --locked -p sysroot --target-dir "$target_dir/std" \
            "${missing[@]/#/--target=}"
    )
    for target in "${missing[@]}"; do
        mkdir -p "$rustlib/$target/lib"
        cp "$target_dir/std/$target"/debug/deps/*.rmeta "$rustlib/$target/lib"
        touch "$rustlib/$target/complete"
    done
}

# What the facade can ask of the crates that talk to the system, in one run, so that each is checked
# once. What is unused on one system only shows here. Cryptography is C, which would want a C compiler
# for each system: so asyncio-tls and asyncio-http are left out.
check_libraries() {
    local features=(fs futures-core futures-io hyper process-pool send tempfile tokio tracing)
    RUSTFLAGS="-D unused" "$rust/cargo" check --keep-going --target-dir "$target_dir/unix" \
        --lib -p asyncio --features "${features[*]}" "${@/#/--target=}"
}

# All crates that need no cryptography, and their tests.
check_tests() {
    local crates=(fs loop monitor net process ps sync task testing tokio)
    RUSTFLAGS="-D unused" "$rust/cargo" check --keep-going --target-dir "$target_dir/unix" \
        --all-features --lib --bins --tests "${crates[@]/#/-pasyncio-}" "${@/#/--target=}"
}

tests=false
[ "${1:-}" != --tests ] || { tests=true && shift; }
read -r -a targets <<<"${*:-$every}"
check_std "${targets[@]}"
check_libraries "${targets[@]}"
! $tests || check_tests "${targets[@]}"
