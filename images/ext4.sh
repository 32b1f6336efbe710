# shellcheck shell=bash
# How this project formats a disk; sourced by build.sh and workspace.sh.

# Every file system of a recipe has the same id and the same hash seed: a sandbox finds its disks by their place, never by an id.
OSB_EXT4_UUID=6f70656e-7361-6e64-626f-780000000001

# make_ext4 FILE BYTES UID:GID EPOCH [TREE]: FILE becomes an ext4 file system of exactly BYTES, sparse, holding TREE, its root folder owned by UID:GID.
make_ext4() {
  local file=$1 bytes=$2 owner=$3 epoch=$4 tree=${5:-} options=()
  if [[ -n $tree ]]; then options+=(-d "$tree"); fi
  rm -f -- "$file"
  truncate -s "$bytes" -- "$file"
  E2FSPROGS_FAKE_TIME=$epoch mke2fs -q -F -t ext4 -L opensandbox -U "$OSB_EXT4_UUID" -b 4096 -m 0 -J size=32 \
    -E "hash_seed=$OSB_EXT4_UUID,root_owner=$owner,lazy_itable_init=0,lazy_journal_init=0,assume_storage_prezeroed=1,nodiscard" \
    "${options[@]}" -- "$file"
  E2FSPROGS_FAKE_TIME=$epoch e2fsck -fn -- "$file"
}
