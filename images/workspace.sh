#!/usr/bin/env bash
# workspace.sh OUT.raw [SIZE_BYTES]: an empty, formatted disk for /workspace (default 16 GiB, sparse), its root owned by the sandbox
# user. Sandboxes write to overlays on it, so that none has to format a disk.
# The same size gives the same bytes.
set -euo pipefail

OSB_ROOT=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/lib.sh
source "$OSB_ROOT/scripts/lib.sh"
# shellcheck source=images/ext4.sh
source "$OSB_ROOT/images/ext4.sh"

(($# == 1 || $# == 2)) || die "usage: workspace.sh OUT.raw [SIZE_BYTES]"
bytes=${2:-17179869184}
# Below this the journal leaves little room; a multiple of the block size, as the disk's size is the file system's.
if ! [[ $bytes =~ ^[1-9][0-9]{0,14}$ ]] || ((bytes < 268435456 || bytes % 4096 != 0)); then
  die "the size must be a multiple of 4096 and at least 268435456 (256 MiB): $bytes"
fi
out_dir=$(cd -P -- "$(dirname -- "$1")" && pwd -P)
out=$out_dir/$(basename -- "$1")
need_packages "format disks" e2fsprogs

work=$(mktemp -d "$out_dir/.workspace.XXXXXX")
trap 'rm -rf -- "$work"' EXIT
# A date that every sandbox's clock is past: Debian 12's release.
run_logged "workspace disk" workspace make_ext4 "$work/workspace.raw" "$bytes" 1000:1000 1686355200
mv -f -- "$work/workspace.raw" "$out"
