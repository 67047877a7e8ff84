#!/usr/bin/env bash
# Type-checks the crates by the oldest compiler that the workspace promises:
# rustup's if it is installed, otherwise Debian's. Ends with 77 where neither can be had.
set -euo pipefail
cd "$(dirname "$0")/.."

target_dir="${CARGO_TARGET_DIR:-$PWD/target}"
version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

if cargo "+$version" --version >/dev/null 2>&1; then
    cargo=(cargo "+$version")
else
    cargo=("$(ci/debian_rust.sh "$version" "$target_dir/rust-$version")/cargo")
fi

export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
# Without asyncio-tls and asyncio-http: their cryptography compiles C for minutes.
check=("${cargo[@]}" check --keep-going --target-dir "$target_dir/msrv")
"${check[@]}" --all-features --lib -p asyncio-fs -p asyncio-loop -p asyncio-net \
    -p asyncio-process -p asyncio-sync -p asyncio-task
"${check[@]}" --lib -p asyncio --features fs,process-pool,send,tempfile
