using System.Globalization;
using FsCheck;
using FsCheck.Fluent;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>
/// How many cases a property is tried with: <c>OPENSANDBOX_TEST_CASES</c>, otherwise 20,000. The long run sets 125,000, which makes at least a
/// million in all over the properties of this folder (ten take the whole number, the others a fixed part of it).
/// </summary>
internal static class Cases
{
    private const int Default = 20_000;

    internal static int Count { get; } =
        int.TryParse(Environment.GetEnvironmentVariable("OPENSANDBOX_TEST_CASES"), CultureInfo.InvariantCulture, out int count) && count > 0
            ? count
            : Default;

    /// <summary>Checks a property; throws with the shrunk counterexample.</summary>
    /// <param name="generator">Makes a case.</param>
    /// <param name="holds">Whether the property holds for it.</param>
    /// <param name="divisor">For costly properties: the part of the cases to try.</param>
    internal static void ForAll<T>(Gen<T> generator, Func<T, bool> holds, int divisor = 1) =>
        Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(Math.Max(Count / divisor, 100)).WithEndSize(200),
            Prop.ForAll(generator.ToArbitrary(), holds));

    /// <summary>Any bytes, up to the size of the case.</summary>
    internal static Gen<byte[]> Bytes { get; } = Gen.Choose(0, 255).Select(value => (byte)value).ArrayOf();

    /// <summary>Places at which to cut a stream of bytes.</summary>
    internal static Gen<int[]> Cuts { get; } = Gen.Choose(0, 4_000).ArrayOf(3);
}
