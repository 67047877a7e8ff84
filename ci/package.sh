#!/usr/bin/env bash
# Packs every crate that is published, as `cargo publish` would, and looks at what registries show.
#
#   ci/package.sh             the packages
#   ci/package.sh --verify    also builds each crate from its package
set -euo pipefail
cd "$(dirname "$0")/.."

verify=(--no-verify)
[ "${1:-}" != --verify ] || verify=()
failed=0

complain() {
    echo "$1: $2"
    failed=1
}

for crate in crates/*; do
    for file in README.md LICENSE-APACHE LICENSE-MIT; do
        [ -e "$crate/$file" ] || complain "$crate" "no $file"
    done
    for key in description categories keywords readme license rust-version; do
        grep -q "^$key\b" "$crate/Cargo.toml" || complain "$crate" "no $key"
    done
    # docs.rs builds the default features alone unless it is told.
    if grep -q '^\[features\]' "$crate/Cargo.toml"; then
        grep -q '^\[package.metadata.docs.rs\]' "$crate/Cargo.toml" ||
            complain "$crate" "features, and no word to docs.rs"
    fi
done

packages=()
for crate in crates/*; do
    packages+=(-p "$(basename "$crate")")
done
# Libraries: the lock file of the program counts.
cargo package --quiet --allow-dirty --exclude-lockfile "${packages[@]}" "${verify[@]}"

# What is in each of them: its source, the texts that a reader looks for, and nothing that only the
# repository needs.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
for crate in crates/*; do
    name="$(basename "$crate")-$version"
    package="${CARGO_TARGET_DIR:-target}/package/$name.crate"
    files=$(tar -tzf "$package")
    for file in Cargo.toml README.md LICENSE-APACHE LICENSE-MIT src/; do
        grep -q "^$name/$file" <<<"$files" || complain "$package" "no $file"
    done
    ! grep -E "/(target|\.ci|Cargo\.lock)(/|$)" <<<"$files" || complain "$package" "has these"
    echo "$name: $(wc -l <<<"$files") files, $(($(wc -c <"$package") / 1024)) KiB"
done
exit "$failed"
