#!/usr/bin/env bash
# What a hello world costs to build from nothing: with asyncio's default features, and with tokio's
# `rt,net,time,macros`. Prints the seconds that pass and the seconds of CPU, and their ratios; then
# the crates that are built for it, and the size of the release program without symbols.
#
#   benches/build_time.sh                 one build of each, debug and release
#   benches/build_time.sh 3               three builds of each, of which the quickest counts
#   FEATURES="macros" benches/build_time.sh      asyncio without defaults, with these features
#
# The bar is 1.2 times tokio's seconds. It needs a machine at rest: both are built in turn.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
rounds=${1:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# As a crate from a registry is built.
export CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never

# The package `$1`, with the dependency `$2` and a main function by the attribute `$3`.
make_package() {
    mkdir -p "$work/$1/src"
    cp Cargo.lock "$work/$1/"
    cat >"$work/$1/Cargo.toml" <<END
[package]
name = "hello"
version = "0.1.0"
edition = "2024"

[dependencies]
$2

[workspace]
END
    cat >"$work/$1/src/main.rs" <<END
#[$3]
async fn main() {
    $4(std::time::Duration::from_millis(1)).await;
    println!("hello");
}
END
    cargo fetch -q --manifest-path "$work/$1/Cargo.toml"
}

# One build of package `$1` in profile `$2`: seconds, and seconds of CPU.
build() {
    rm -rf "$work/target"
    local TIMEFORMAT="%R %U %S"
    { time cargo build -q --offline --profile "$2" --manifest-path "$work/$1/Cargo.toml" \
        --target-dir "$work/target" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }; } 2>&1 |
        awk '{ print $1, $2 + $3 }'
    if [ "$2" = release ]; then
        strip -o "$work/$1.program" "$work/target/release/hello"
    fi
}

# The crates that package `$1` is built from, its own one not counted.
crates() {
    cargo tree -q --offline -e normal --prefix none --no-dedupe \
        --manifest-path "$work/$1/Cargo.toml" | sort -u | grep -vc '^hello '
}

# The quickest of the builds of package `$1` in profile `$2`.
quickest() {
    sort -n "$work/$1.$2" | head -n 1
}

path="path = \"$root/crates/asyncio\""
if [ -n "${FEATURES:-}" ]; then
    path="$path, default-features = false, features = [\"${FEATURES// /\", \"}\"]"
fi
make_package asyncio "asyncio = { $path }" asyncio::main asyncio::sleep
make_package tokio 'tokio = { version = "1.47", features = ["rt", "net", "time", "macros"] }' \
    'tokio::main(flavor = "current_thread")' tokio::time::sleep

for round in $(seq "$rounds"); do
    for profile in dev release; do
        for package in tokio asyncio; do
            build $package $profile >>"$work/$package.$profile"
        done
    done
done

printf '%-10s %20s %20s %15s\n' "" "asyncio: s, CPU s" "tokio: s, CPU s" "times: s, CPU"
for profile in dev release; do
    echo "$profile $(quickest asyncio $profile) $(quickest tokio $profile)"
done | awk '{ printf "%-10s %20s %20s %15s\n", $1, $2 "  " $3, $4 "  " $5,
    sprintf("%.2f  %.2f", $2 / $4, $3 / $5) }'
echo
printf '%-10s %20s %20s\n' "" asyncio tokio
printf '%-10s %20s %20s\n' crates "$(crates asyncio)" "$(crates tokio)"
printf '%-10s %20s %20s\n' "KiB" "$(($(stat -c %s "$work/asyncio.program") / 1024))" \
    "$(($(stat -c %s "$work/tokio.program") / 1024))"
