# shellcheck shell=bash
# shellcheck disable=SC2034 # much here is for those who source it
# What the scripts at the root build, and from which files; sourced by scripts/lib.sh's users after it.

# All that MSBuild reads of a project that is not in the project's folder.
OSB_INPUTS_MSBUILD=(Directory.Build.props Directory.Packages.props global.json src/Directory.Build.props src/BannedSymbols.txt)
# The program and the libraries it may use. src/launcher is not .NET.
OSB_INPUTS_CLI=("${OSB_INPUTS_MSBUILD[@]}" src/Shared)
for osb_folder in "$OSB_ROOT"/src/OpenSandbox.*; do OSB_INPUTS_CLI+=("${osb_folder#"$OSB_ROOT/"}"); done
unset osb_folder
# Everything from which ./opensandbox makes what it runs.
OSB_INPUTS_READY=("${OSB_INPUTS_MSBUILD[@]}" src agent images/kernel images/initramfs scripts)

compile_cli() { dotnet_build build src/OpenSandbox.Cli/OpenSandbox.Cli.csproj -c Release -v q; }
build_cli() { step cli "$OSB_ROOT/artifacts/bin/OpenSandbox.Cli/release/opensandbox.dll" "command line" compile_cli "${OSB_INPUTS_CLI[@]}"; }
build_assets() { bash "$OSB_ROOT/scripts/build-assets.sh"; }

# "ready" stands for all steps together, so that one look answers for all of them.
begin_ready() {
  mkdir -p -- "$OSB_STAMPS"
  : >"$OSB_STAMPS/ready.new"
}
end_ready() { mv -f -- "$OSB_STAMPS/ready.new" "$OSB_STAMPS/ready"; }
