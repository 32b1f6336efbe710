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
  if [[ -n $tree ]]; then set_times "$file" "$epoch"; fi
  E2FSPROGS_FAKE_TIME=$epoch e2fsck -fn -- "$file"
}

# set_times FILE EPOCH: mke2fs copies when each file was last read and changed here, which no tool can set in a tree. With these two
# set in the image, the same packages give the same bytes.
set_times() {
  local inodes inode field
  # Inodes are handed out in sequence: 2 is the root, those from 11 on are in use up to the number of used ones.
  inodes=$(dumpe2fs -h "$1" 2>/dev/null | awk '/^Inode count:/ { count = $3 } /^Free inodes:/ { free = $3 } END { print count - free }')
  for inode in 2 $(seq 11 "$inodes"); do
    for field in atime ctime; do printf 'set_inode_field <%d> %s @%d\nset_inode_field <%d> %s_extra 0\n' "$inode" "$field" "$2" "$inode" "$field"; done
  done >"$1.times"
  # debugfs reports success whatever happens: it must not have said anything but its name and the commands.
  if E2FSPROGS_FAKE_TIME=$2 debugfs -w -f "$1.times" "$1" 2>&1 | grep -v '^debugfs' ; then
    echo "debugfs could not set the times"
    return 1
  fi
  rm -f -- "$1.times"
}
