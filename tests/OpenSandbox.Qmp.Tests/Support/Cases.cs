using System.Globalization;
using FsCheck;

namespace OpenSandbox.Qmp.Tests.Support;

/// <summary>How many generated cases a property gets.</summary>
internal static class Cases
{
    /// <summary>OPENSANDBOX_TEST_CASES, else 20,000.</summary>
    internal static int Count { get; } =
        int.TryParse(Environment.GetEnvironmentVariable("OPENSANDBOX_TEST_CASES"), NumberStyles.None, CultureInfo.InvariantCulture, out int count)
        && count > 0 ? count : 20_000;

    /// <summary>Throws on a counter-example. <paramref name="share"/>: properties with sockets get one case in so many.</summary>
    internal static Config Config(int share = 1) => FsCheck.Config.QuickThrowOnFailure.WithMaxTest(Math.Max(1, Count / share));
}
