using System.Globalization;
using FsCheck;
using FsCheck.Fluent;

namespace OpenSandbox.Host.Tests;

/// <summary>Properties, tried with <c>OPENSANDBOX_TEST_CASES</c> cases, otherwise 20,000.</summary>
internal static class Properties
{
    internal static int Count { get; } =
        int.TryParse(Environment.GetEnvironmentVariable("OPENSANDBOX_TEST_CASES"), CultureInfo.InvariantCulture, out int count) && count > 0
            ? count
            : 20_000;

    /// <summary>Texts with many of the characters that mean something in addresses, ids and paths.</summary>
    internal static Gen<string> Text { get; } = Gen.Elements("0123456789abcdefABCDEF:.[]-/%*\0\n{}\"sn unix:ü\ud83d\ude00".ToCharArray())
        .ArrayOf().Select(static characters => new string(characters));

    internal static void ForAll<T>(Gen<T> generator, Func<T, bool> holds) =>
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(Count).WithEndSize(60), Prop.ForAll(generator.ToArbitrary(), holds));
}
