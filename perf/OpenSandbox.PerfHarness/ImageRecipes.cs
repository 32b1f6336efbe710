using System.Diagnostics;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness;

/// <summary>Builds the images that rows need from the recipes of the checkout, unless the state directory has them.</summary>
internal static class ImageRecipes
{
    /// <summary>Makes sure of a root file system and of the workspace.</summary>
    internal static async Task EnsureAsync(SandboxImages images, string name, CancellationToken cancellationToken)
    {
        var present = images.List().Select(static image => image.Name).ToHashSet(StringComparer.Ordinal);
        if (!present.Contains(name))
        {
            await BuildAsync(images, name, "build.sh", [Path.Combine(Recipes, name)], cancellationToken).ConfigureAwait(false);
        }

        if (!present.Contains(SandboxImages.WorkspaceName))
        {
            await BuildAsync(images, SandboxImages.WorkspaceName, "workspace.sh", [], cancellationToken).ConfigureAwait(false);
        }
    }

    private static string Recipes => Path.Combine(
        Environment.GetEnvironmentVariable("OPENSANDBOX_ROOT") is { Length: > 0 } root
            ? root
            : throw new HostPrerequisiteException("OPENSANDBOX_ROOT is not set", "Use bench.sh, which names the checkout there"),
        "images");

    private static async Task BuildAsync(
        SandboxImages images, string name, string script, string[] arguments, CancellationToken cancellationToken)
    {
        DirectoryInfo directory = Directory.CreateTempSubdirectory("opensandbox-image-");
        try
        {
            string raw = Path.Combine(directory.FullName, "image.raw");
            var start = new ProcessStartInfo("bash", [Path.Combine(Recipes, script), .. arguments, raw]);
            using Process process = Process.Start(start) ?? throw new IOException($"{script} was not started");
            await process.WaitForExitAsync(cancellationToken).ConfigureAwait(false);
            if (process.ExitCode != 0)
            {
                throw new IOException($"{script} for image '{name}' ended with exit code {process.ExitCode}");
            }

            await images.ImportAsync(name, raw, cancellationToken: cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }
}
