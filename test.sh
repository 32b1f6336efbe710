#!/usr/bin/env bash
# test.sh [--long] [--faults [RUNS]] [--filter EXPRESSION]: builds everything and runs every test project under tests/, and the samples that
# are one.
#   --long      property tests generate at least 1,000,000 cases each, and long-running tests may take hours
#   --faults    only the fault harness, in full: the host process and QEMU are killed at each failpoint of each operation, RUNS times (5 by
#               default); system calls fail one at a time; 5,000 damaged files; a soak of ten minutes. About an hour.
#   --filter    passed to `dotnet test`: a part of a test's full name, or an expression such as FullyQualifiedName~Frame
# The last line of its output is "N passed, N failed, N skipped". A project that crashes, hangs or has no tests counts as a failure.
# The state of the sandboxes that tests start is kept in .cache/test-state, so that images and goldens are made once per machine.
set -euo pipefail

OSB_ROOT=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=scripts/lib.sh
source "$OSB_ROOT/scripts/lib.sh"
# shellcheck source=scripts/build.sh
source "$OSB_ROOT/scripts/build.sh"
# shellcheck source=scripts/clients.sh
source "$OSB_ROOT/scripts/clients.sh"

usage() { die "usage: test.sh [--long] [--faults [RUNS]] [--filter EXPRESSION]"; }
long='' faults='' filter=''
while (($# > 0)); do
  case $1 in
    --long) long=1 ;;
    --faults)
      faults=5
      if [[ ${2:-} =~ ^[1-9][0-9]*$ ]]; then
        faults=$2
        shift
      fi
      ;;
    --filter)
      if (($# < 2)) || [[ -z $2 ]]; then usage; fi
      filter=$2
      shift
      ;;
    *) usage ;;
  esac
  shift
done

passed=0 failed=0 skipped=0
summary=()
running='' child=''
# Whatever ends this script, the last line says how it stands.
finish() {
  local status=$?
  trap '' INT TERM
  if [[ -n $child ]]; then
    kill -TERM "$child" 2>/dev/null || true
    wait "$child" || true
  fi
  if [[ -n ${OSB_SERVER:-} ]]; then kill -TERM "$OSB_SERVER" 2>/dev/null || true; fi
  # Cut short between two projects, or before the first: something has not been run.
  if ((status != 0 && failed == 0)) || [[ -n $running ]]; then
    failed=$((failed + 1))
    if [[ -n $running ]]; then summary+=("$running: interrupted"); fi
  fi
  printf '\n'
  if ((${#summary[@]} > 0)); then printf '%s\n' "${summary[@]}"; fi
  # The one line that programs read: stdout, last, and nothing after it.
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  if ((status == 0 && failed > 0)); then status=1; fi
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cd -- "$OSB_ROOT"
need_dotnet
need_packages "run sandboxes" "${OSB_PACKAGES_RUN[@]}"
need_packages "run the tests" "${OSB_PACKAGES_TEST[@]}" "${OSB_PACKAGES_IMAGE[@]}"

compile_all() { dotnet_build build OpenSandbox.Native.sln -c Release -v q; }
take_lock
run_logged "solution" solution compile_all
build_assets
release_lock

export OPENSANDBOX_ASSETS=$OSB_ROOT/artifacts/assets OPENSANDBOX_ROOT=$OSB_ROOT
export OPENSANDBOX_STATE=$OSB_CACHE/test-state
mkdir -p -- "$OPENSANDBOX_STATE"
chmod 700 "$OPENSANDBOX_STATE"

# Tests with a real QEMU use the default image, as a user would have it.
"${OSB_DOTNET_ENV[@]}" dotnet artifacts/bin/OpenSandbox.Cli/release/opensandbox.dll image build default </dev/null

# One test may take this long, then the run is stopped and the test named; a project may take this long as a whole.
test_limit=10m project_limit=75m
if [[ -n $long ]]; then
  export OPENSANDBOX_TEST_CASES=1000000
  test_limit=3h project_limit=12h
fi
if [[ -n $faults ]]; then
  export OPENSANDBOX_FAULTS=$faults OPENSANDBOX_SOAK_SECONDS=${OPENSANDBOX_SOAK_SECONDS:-600}
  test_limit=3h project_limit=12h
  filter="Category=Faults${filter:+&($filter)}"
fi
results=$OSB_ROOT/artifacts/test-results
mkdir -p -- "$results"

# counter NAME FILE: a number of the <Counters .../> element of a results file.
counter() { sed -n "s/.*<Counters .*\b$1=\"\([0-9]*\)\".*/\1/p" "$2" | head -n 1; }

# run_project PROJECT: streams the output, and adds to the counts and to the summary.
run_project() {
  local project=$1 name trx options=() status=0 total p f s
  name=$(basename -- "$project" .csproj)
  trx=$results/$name.trx
  rm -f -- "$trx"
  if [[ -n $filter ]]; then options+=(--filter "$filter"); fi
  printf '\n== %s\n' "$name"
  running=$name
  # `timeout` puts the run in a process group of its own and ends all of it; waiting for it in the background lets this script
  # answer to signals meanwhile.
  "${OSB_DOTNET_ENV[@]}" timeout --kill-after=30 "$project_limit" dotnet test "$project" --no-build -c Release --logger "console;verbosity=normal" --logger "trx;LogFileName=$name.trx" \
    --results-directory "$results" --blame-hang --blame-hang-timeout "$test_limit" --blame-hang-dump-type none "${options[@]}" </dev/null &
  child=$!
  wait "$child" || status=$?
  running='' child=''
  if [[ ! -f $trx ]]; then
    failed=$((failed + 1))
    summary+=("$name: did not run to its end (exit code $status)")
    return 0
  fi
  total=$(counter total "$trx") p=$(counter passed "$trx") f=$(counter failed "$trx")
  # Named again at the end, where they are found without the log.
  while IFS= read -r test; do summary+=("FAILED: $test"); done < <(
    sed -n 's/.*<UnitTestResult [^>]*testName="\([^"]*\)"[^>]*outcome="Failed".*/\1/p' "$trx" | head -n 50)
  # Skipped tests are in the total only.
  s=$((total - p - f))
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  summary+=("$name: $p passed, $f failed, $s skipped")
  # Tests that a crash cut off are counted nowhere: the run itself says that it was aborted.
  if grep -q 'active test run was aborted' "$trx" || ((status != 0 && f == 0)); then
    failed=$((failed + 1))
    summary+=("$name: crashed, hung or was stopped before its end (exit code $status)")
  elif ((total == 0)) && [[ -z $filter ]]; then
    failed=$((failed + 1))
    summary+=("$name: has no tests")
  fi
}

projects=(tests/*/*.csproj samples/Testing*/*.csproj)
# Without a Category a project would only say that it has no such test.
if [[ -n $faults ]]; then projects=(tests/OpenSandbox.Integration.Tests/*.csproj tests/OpenSandbox.Vmm.Tests/*.csproj); fi
[[ -f ${projects[0]} ]] || die "there are no test projects"
for project in "${projects[@]}"; do run_project "$project"; done

# run_clients: the published clients against a server of their own. Its parts are named as those of the other projects are.
run_clients() {
  local name=clients folder=$OSB_CACHE/clients tap=$results/clients.tap status=0 p f s key
  printf '\n== %s\n' "$name"
  if ! find_node; then
    skipped=$((skipped + 1))
    summary+=("$name: skipped: $OSB_NODE_WHY")
    return 0
  fi
  if ! install_clients "$folder"; then
    skipped=$((skipped + 1))
    summary+=("$name: skipped: the pinned clients cannot be had from the npm registry")
    return 0
  fi
  running=$name
  key=osb_$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  rm -f -- "$tap"
  if start_server "$OPENSANDBOX_STATE/clients" "$results/clients-server.log" "$key"; then
    (cd -- "$folder" && OPENCOMPUTER_API_URL=$OSB_SERVER_URL OPENCOMPUTER_API_KEY=$key exec timeout --kill-after=30 "$project_limit" "${OSB_NODE[@]}" --test \
      --test-reporter=spec --test-reporter-destination=stdout --test-reporter=tap --test-reporter-destination="$tap") </dev/null &
    child=$!
    wait "$child" || status=$?
    child=''
  else
    tail -n 20 -- "$results/clients-server.log"
    status=1
  fi
  kill -TERM "$OSB_SERVER" 2>/dev/null || true
  wait "$OSB_SERVER" || true
  running=''
  p=$(sed -n 's/^# pass \([0-9]*\)$/\1/p' "$tap" 2>/dev/null | tail -n 1)
  if [[ -z $p ]]; then
    failed=$((failed + 1))
    summary+=("$name: did not run to their end (exit code $status)")
    return 0
  fi
  f=$(sed -n -e 's/^# fail \([0-9]*\)$/\1/p' -e 's/^# cancelled \([0-9]*\)$/\1/p' "$tap" | paste -sd+ | bc_sum)
  s=$(sed -n -e 's/^# skipped \([0-9]*\)$/\1/p' -e 's/^# todo \([0-9]*\)$/\1/p' "$tap" | paste -sd+ | bc_sum)
  while IFS= read -r test; do summary+=("FAILED: clients: $test"); done < <(sed -n 's/^ *not ok [0-9]* - //p' "$tap" | head -n 50)
  if ((status != 0 && f == 0)); then f=1; fi
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  summary+=("$name: $p passed, $f failed, $s skipped")
}
# bc_sum: the value of a sum of numbers on standard input.
bc_sum() { local sum; read -r sum || sum=0; printf '%d' "$((sum))"; }
# A filter is an expression of `dotnet test`; these tests have no names that it could mean.
if [[ -z $filter ]]; then run_clients; fi
if ((passed + failed + skipped == 0)); then
  failed=1
  summary+=("no test was run")
fi
