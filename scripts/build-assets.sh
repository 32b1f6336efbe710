#!/usr/bin/env bash
# build-assets.sh [--refresh-kernel] [--guest-only] [OUT]: what a guest boots from, in OUT (default: artifacts/assets)
#   vmlinuz          the kernel of Debian's cloud kernel package, unpacked and never installed
#   kernel-release   its release ("6.1.0-NN-cloud-amd64")
#   initramfs.cpio   the agent as /init, /bin/true, and the kernel modules with their order of loading
#   launcher         the program that starts QEMU
#   assets.json      the kernel release, and name, size and SHA-256 of each of the files above
# Each is rebuilt only if what it is made of has changed; a run with nothing to do takes some 20 ms.
# The kernel stays the one that was fetched first until its recipe changes or --refresh-kernel asks for the current one.
# --guest-only leaves the launcher out.
set -euo pipefail

OSB_ROOT=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/lib.sh
source "$OSB_ROOT/scripts/lib.sh"

refresh='' guest_only=''
while [[ ${1:-} == -* ]]; do
  case $1 in
    --refresh-kernel) refresh=1 ;;
    --guest-only) guest_only=1 ;;
    *) die "usage: build-assets.sh [--refresh-kernel] [--guest-only] [OUT]" ;;
  esac
  shift
done
if (($# > 1)); then die "usage: build-assets.sh [--refresh-kernel] [--guest-only] [OUT]"; fi
out=${1:-$OSB_ROOT/artifacts/assets}
mkdir -p -- "$out"
out=$(cd -P -- "$out" && pwd -P)
# Stamps are per output folder; the default one has none of this in its name.
suffix=''
if [[ $out != "$OSB_ROOT/artifacts/assets" ]]; then suffix=.$(printf '%s' "$out" | sha256sum | cut -c1-12); fi

kernel_dir=$OSB_CACHE/kernel          # the package as downloaded, and unpacked in tree/
agent=$OSB_ROOT/artifacts/publish/Agent/release_linux-x64/opensandbox-agent
true_bin=$OSB_ROOT/artifacts/native/true

self=(scripts/lib.sh scripts/build-assets.sh)
dotnet_inputs=(Directory.Build.props Directory.Packages.props global.json src/Directory.Build.props src/Shared src/OpenSandbox.VirtioSerial src/OpenSandbox.Cgroups)

# atomically FILE COMMAND...: COMMAND's standard output becomes FILE.
atomically() {
  local file=$1
  shift
  "$@" >"$file.tmp.$$"
  mv -f -- "$file.tmp.$$" "$file"
}

# --- kernel --------------------------------------------------------------------------------------------------------------

# The package that the meta-package of images/kernel depends on at present.
resolve_kernel() {
  local meta
  meta=$(read_list "$OSB_ROOT/images/kernel/package.txt")
  apt-cache show --no-all-versions "$meta" 2>/dev/null | sed -n 's/^Depends: \(linux-image-[^ ,(]*\).*/\1/p' | head -n 1
}

fetch_kernel() {
  local package work=$kernel_dir.new deb release
  package=$(resolve_kernel || true)
  if [[ -n $refresh || -z $package ]]; then
    if ((EUID != 0)); then echo "apt-get update needs root"; return 1; fi
    apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 update
    package=$(resolve_kernel)
  fi
  [[ -n $package ]] || { echo "no Debian repository of this machine has the kernel package"; return 1; }
  rm -rf -- "$work"
  mkdir -p -- "$work/tree"
  # APT drops to a user of its own for downloads, who cannot write below a private home: it keeps ours here.
  # Lists older than the archive name a file that is gone; then they are fetched anew, once.
  if ! (cd -- "$work" && apt-get -o APT::Sandbox::User= -o Acquire::Retries=5 download "$package"); then
    ((EUID == 0)) || return 1
    apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 update
    package=$(resolve_kernel)
    (cd -- "$work" && apt-get -o APT::Sandbox::User= -o Acquire::Retries=5 download "$package")
  fi
  deb=$(find "$work" -maxdepth 1 -name '*.deb' -print -quit)
  dpkg-deb -x "$deb" "$work/tree"
  release=$(basename -- "$work"/tree/boot/vmlinuz-*)
  release=${release#vmlinuz-}
  # Bookworm's packages have /lib, later ones /usr/lib; modprobe and depmod look in /lib.
  if [[ ! -e $work/tree/lib ]]; then ln -s usr/lib "$work/tree/lib"; fi
  depmod -b "$work/tree" "$release"
  printf '%s\n' "$release" >"$work/release"
  # What tells one kernel from another: two builds of it may share a release.
  (cd -- "$work" && sha256sum -- *.deb) >"$work/id"
  rm -f -- "$deb"
  rm -rf -- "$kernel_dir"
  mv -T -- "$work" "$kernel_dir"
}

# --- agent ---------------------------------------------------------------------------------------------------------------

build_agent() {
  # The linked binary is not an input of anything MSBuild knows: its time says when the stamp was made.
  dotnet_build publish agent/Agent.csproj -c Release -v q
  [[ -x $agent ]]
  if readelf -lW "$agent" 2>/dev/null | grep -q INTERP; then echo "the agent is not a static binary"; return 1; fi
}

build_true() {
  mkdir -p -- "${true_bin%/*}"
  gcc -Os -static -nostdlib -nostartfiles -ffreestanding -fno-pie -no-pie -fno-asynchronous-unwind-tables -fno-stack-protector \
    -Wl,--build-id=none,-z,noseparate-code -s -Wall -Wextra -Werror -o "$true_bin.new" "$OSB_ROOT/agent/native/true.c"
  mv -f -- "$true_bin.new" "$true_bin"
}

# --- launcher ------------------------------------------------------------------------------------------------------------

build_launcher() {
  bash "$OSB_ROOT/src/launcher/build.sh" "$out/launcher.new.$$"
  mv -f -- "$out/launcher.new.$$" "$out/launcher"
}

# --- initramfs -----------------------------------------------------------------------------------------------------------

# The paths of the modules wanted and of all they depend on, each once, a module after those it needs.
module_paths() {
  local release=$1 name
  while read -r name; do
    modprobe -d "$kernel_dir/tree" -S "$release" --show-depends "$name"
  done < <(read_list "$OSB_ROOT/images/initramfs/modules.txt") | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

# Debian keeps it in a folder that an ordinary user's PATH does not have.
find_nft() { PATH=$PATH:/usr/sbin:/sbin command -v nft; }

build_initramfs() {
  local release tree path paths
  release=$(<"$kernel_dir/release")
  tree=$(mktemp -d "$OSB_CACHE/initramfs.XXXXXX")
  # shellcheck disable=SC2064 # the folder's name is wanted now
  trap "rm -rf -- '$tree'" EXIT
  mkdir -p -- "$tree"/{bin,mods,proc,sys,dev,newroot,tmp,run,etc}
  chmod 755 "$tree" "$tree"/*
  chmod 1777 "$tree/tmp"
  install -m 755 -- "$agent" "$tree/init"
  install -m 755 -- "$true_bin" "$tree/bin/true"
  paths=$(module_paths "$release")
  [[ -n $paths ]]
  # nft and what it links to, run once at boot by their own loader and then removed (agent/Network/GuestNetwork.cs).
  mkdir -p -- "$tree/tools"
  install -m 644 -- "$OSB_ROOT/images/initramfs/network.nft" "$tree/tools/network.nft"
  install -m 755 -- "$(find_nft)" "$tree/tools/nft"
  while read -r path; do
    case $path in
      */ld-linux*) install -m 755 -- "$path" "$tree/tools/ld.so" ;;
      *) install -m 644 -- "$path" "$tree/tools/" ;;
    esac
  done < <(ldd "$(find_nft)" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }')
  [[ -x $tree/tools/ld.so ]]
  while read -r path; do
    case $path in
      *.ko) install -m 644 -- "$path" "$tree/mods/" ;;
      *.ko.xz) xz -dc -- "$path" >"$tree/mods/$(basename -- "${path%.xz}")" ;;
      *) echo "a kind of module that is not known here: $path"; return 1 ;;
    esac
    basename -- "${path%.xz}" >>"$tree/mods/order"
  done <<<"$paths"
  chmod 644 "$tree"/mods/*
  # This also takes the signatures off, which the kernel does not insist on: checking them is 40 % of the time that loading takes in
  # an emulated guest (docs/adr/0003).
  strip --strip-debug -- "$tree"/mods/*.ko
  find "$tree" -exec touch --no-dereference --date=@0 -- {} +
  # Not compressed: inflating it in an emulated guest costs more than reading it (docs/adr/0003).
  (cd -- "$tree" && find . -mindepth 1 -print0 | LC_ALL=C sort -z | cpio --null --create --format=newc --owner=0:0 --reproducible --quiet) >"$out/initramfs.new.$$"
  mv -f -- "$out/initramfs.new.$$" "$out/initramfs.cpio"
}

# --- manifest ------------------------------------------------------------------------------------------------------------

put_kernel() {
  install -m 644 -- "$kernel_dir"/tree/boot/vmlinuz-* "$out/vmlinuz.new.$$"
  mv -f -- "$out/vmlinuz.new.$$" "$out/vmlinuz"
  atomically "$out/kernel-release" cat -- "$kernel_dir/release"
}

manifest() {
  local file separator=''
  printf '{\n  "formatVersion": 1,\n  "kernelRelease": "%s",\n  "files": {' "$(<"$out/kernel-release")"
  for file in vmlinuz initramfs.cpio launcher; do
    if [[ ! -f $out/$file ]]; then continue; fi
    printf '%s\n    "%s": { "bytes": %d, "sha256": "%s" }' "$separator" "$file" "$(stat -c %s -- "$out/$file")" "$(sha256sum <"$out/$file" | cut -c1-64)"
    separator=,
  done
  printf '\n  }\n}\n'
}

build_manifest() { atomically "$out/assets.json" manifest; }

# --- all of it -----------------------------------------------------------------------------------------------------------

# True if the manifest is newer than everything it lists.
manifest_is_current() {
  local file
  [[ -f $out/assets.json ]] || return 1
  for file in vmlinuz kernel-release initramfs.cpio launcher; do
    if [[ $out/$file -nt $out/assets.json ]]; then return 1; fi
  done
}

need_packages "build the guest's kernel, agent and initramfs" "${OSB_PACKAGES_BUILD[@]}"

kernel_id=${kernel_dir#"$OSB_ROOT/"}/id
if [[ -n $refresh ]]; then rm -f -- "$OSB_STAMPS/kernel"; fi
step kernel "$kernel_dir/id" "guest kernel" fetch_kernel images/kernel
step "vmlinuz$suffix" "$out/vmlinuz" "guest kernel image" put_kernel "$kernel_id"
step agent "$agent" "guest agent" build_agent "${dotnet_inputs[@]}" agent
step "true" "$true_bin" "guest /bin/true" build_true "${self[@]}" agent/native
step "initramfs$suffix" "$out/initramfs.cpio" "initramfs" build_initramfs "${self[@]}" images/initramfs \
  "$kernel_id" "${agent#"$OSB_ROOT/"}" "${true_bin#"$OSB_ROOT/"}"
if [[ -z $guest_only ]]; then
  step "launcher$suffix" "$out/launcher" "launcher" build_launcher src/launcher
fi
if ! manifest_is_current; then
  take_lock
  build_manifest
fi
