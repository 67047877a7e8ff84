#!/usr/bin/env bash
# Unpacks a compiler of Debian into a folder, beside whatever else is installed, and prints the
# folder.
#
#   ci/debian_rust.sh 1.85 FOLDER        compiler, cargo and the host's standard library
#   ci/debian_rust.sh 1.96 FOLDER src    also the source of the standard library
#
# Nothing is installed and no right is needed: apt downloads the packages that the system lacks, by
# package lists of its own, and dpkg unpacks them. `FOLDER/cargo` runs the cargo in there.
#
# Ends with 77 where Debian's packages cannot be had.
set -euo pipefail

version="$1" folder="$(mkdir -p "$2" && cd "$2" && pwd)" source="${3:-}"

unavailable() {
    echo "$1" >&2
    exit 77
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" -o Debug::NoLocking=1 \
        -o Dir::State::Lists="$folder/lists" -o Dir::Cache::archives="$folder/packages" \
        -o Dir::Cache::pkgcache="" -o Dir::Cache::srcpkgcache="" >"$folder/apt.log" 2>&1
}

download() {
    local names=("rustc-web=$version*" "cargo-web=$version*" "libstd-rust-web-dev=$version*")
    [ -z "$source" ] || names+=("rust-web-src=$version*")
    mkdir -p "$folder/lists/partial" "$folder/packages/partial"
    apt update || unavailable "apt-get update: $(tail -n1 "$folder/apt.log")"
    apt install -y --no-install-recommends --download-only "${names[@]}" ||
        unavailable "Debian's packages of Rust $version: $(tail -n1 "$folder/apt.log")"
}

# Documentation stays packed, and of the source only the standard library is taken.
unpack() {
    local package
    for package in "$folder"/packages/*.deb; do
        dpkg --fsys-tarfile "$package" | tar -x -C "$folder" --no-wildcards-match-slash \
            --exclude='./usr/share' --exclude='./usr/src/*/compiler' --exclude='./usr/src/*/src' \
            --exclude='./usr/src/*/library/vendor'
        rm "$package"
    done
}

# Debian's own compiler is linked against libraries of the folder.
write_launcher() {
    cat >"$folder/cargo" <<END
#!/bin/sh
export LD_LIBRARY_PATH="$folder/usr/lib/x86_64-linux-gnu:$folder/lib/x86_64-linux-gnu"
export RUSTC="$folder/usr/bin/rustc"
unset RUSTUP_TOOLCHAIN
exec "$folder/usr/bin/cargo" "\$@"
END
    chmod +x "$folder/cargo"
}

for tool in apt-get dpkg; do
    command -v "$tool" >/dev/null || unavailable "no $tool: this system is not a Debian"
done
[ "$(dpkg --print-architecture)" = amd64 ] || unavailable "the compiler is taken for amd64 only"
if [ ! -e "$folder/complete" ]; then
    download
    unpack
    write_launcher
    "$folder/cargo" --version >/dev/null
    touch "$folder/complete"
fi
echo "$folder"
