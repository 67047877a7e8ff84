#!/usr/bin/env bash
# Type-checks the crates for other Unix systems, by a compiler of Debian.
#
#   ci/unix.sh                             for macOS and FreeBSD
#   ci/unix.sh aarch64-linux-android       for this one
#   TESTS=1 ci/unix.sh                     with their tests
#
# No standard library for these systems is needed from anywhere: its source is checked as well,
# which takes seconds. Nothing is linked or run. Ends with 77 where there is no Debian.
set -euo pipefail
cd "$(dirname "$0")/.."

read -r -a targets <<<"${*:-aarch64-apple-darwin x86_64-unknown-freebsd}"
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

# What is unused on one system only shows here. The cryptography under asyncio-tls is C, which would
# need a C compiler for each system.
check() {
    export RUSTFLAGS="-D unused"
    "$rust/cargo" check --keep-going --all-features --lib ${TESTS:+--tests} \
        --target-dir "$target_dir/unix" \
        -p asyncio-fs -p asyncio-loop -p asyncio-net -p asyncio-process -p asyncio-sync \
        -p asyncio-task "${targets[@]/#/--target=}"
    "$rust/cargo" check --lib --target-dir "$target_dir/unix" -p asyncio \
        --features fs,process-pool,send,tempfile "${targets[@]/#/--target=}"
}

check_std "${targets[@]}"
check
