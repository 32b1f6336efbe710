using System.Runtime.CompilerServices;

namespace OpenSandbox.Host.Tests;

/// <summary>The checkout.</summary>
internal static class Repository
{
    internal static string Root { get; } = Environment.GetEnvironmentVariable("OPENSANDBOX_ROOT") is { Length: > 0 } root ? root : Find();

    internal static string Path(string relative) => System.IO.Path.Combine(Root, relative);

    private static string Find([CallerFilePath] string self = "") => System.IO.Path.GetFullPath(System.IO.Path.Combine(self, "../../../.."));
}
