#!/usr/bin/env bash
# bench.sh [ARG...]: builds the performance harness and the C program it is compared with, and runs the harness with the arguments,
# for instance `./bench.sh --rows P1,P6 --json results.json`. Relative file names are the caller's.
# It hands over OPENSANDBOX_ASSETS, OPENSANDBOX_STATE (kept in .cache/bench-state) and OPENSANDBOX_FLOOR (the C program).
set -euo pipefail

OSB_ROOT=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=scripts/lib.sh
source "$OSB_ROOT/scripts/lib.sh"
# shellcheck source=scripts/build.sh
source "$OSB_ROOT/scripts/build.sh"

harness=$OSB_ROOT/artifacts/bin/OpenSandbox.PerfHarness/release/OpenSandbox.PerfHarness.dll
floor=$OSB_ROOT/artifacts/native/floor

compile_harness() { dotnet_build build perf/OpenSandbox.PerfHarness/OpenSandbox.PerfHarness.csproj -c Release -v q; }
compile_floor() {
  mkdir -p -- "${floor%/*}"
  bash "$OSB_ROOT/perf/floor/build.sh" "$floor.new"
  mv -f -- "$floor.new" "$floor"
}

need_dotnet
need_packages "run sandboxes" "${OSB_PACKAGES_RUN[@]}"
need_packages "build root file systems" "${OSB_PACKAGES_IMAGE[@]}"
build_assets
step harness "$harness" "performance harness" compile_harness "${OSB_INPUTS_CLI[@]}" perf/Directory.Build.props perf/OpenSandbox.PerfHarness
step floor "$floor" "floor program" compile_floor perf/floor
release_lock

export OPENSANDBOX_ASSETS=$OSB_ROOT/artifacts/assets OPENSANDBOX_ROOT=$OSB_ROOT OPENSANDBOX_FLOOR=$floor
export OPENSANDBOX_STATE=$OSB_CACHE/bench-state
mkdir -p -- "$OPENSANDBOX_STATE"
chmod 700 "$OPENSANDBOX_STATE"
exec dotnet "$harness" "$@"
