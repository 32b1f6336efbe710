using System.Globalization;
using FsCheck;
using FsCheck.Fluent;

namespace OpenSandbox.Vmm.Tests.Network;

/// <summary>How many cases a property is tried with: <c>OPENSANDBOX_TEST_CASES</c>, otherwise 20,000.</summary>
internal static class Cases
{
    internal static int Count { get; } =
        int.TryParse(Environment.GetEnvironmentVariable("OPENSANDBOX_TEST_CASES"), CultureInfo.InvariantCulture, out int count) && count > 0
            ? count
            : 20_000;

    /// <summary>Any bytes, up to the size of the case.</summary>
    internal static Gen<byte[]> Bytes { get; } = Gen.Choose(0, 255).Select(static value => (byte)value).ArrayOf();

    /// <summary>Checks a property; throws with the shrunk counterexample.</summary>
    internal static void ForAll<T>(Gen<T> generator, Func<T, bool> holds) =>
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(Count).WithEndSize(200), Prop.ForAll(generator.ToArbitrary(), holds));

    /// <summary>A message with some bytes changed, cut short or made longer.</summary>
    internal static Gen<byte[]> Spoiled(Gen<byte[]> messages) =>
        from message in messages
        from edits in Gen.Zip(Gen.Choose(0, 4_000), Gen.Elements<byte>(0, 1, 0x3F, 0x40, 0x80, 0xC0, 0xC1, 0x0C, 0xFF)).ArrayOf()
        from how in Gen.Choose(0, 3)
        from cut in Gen.Choose(0, 4_000)
        from tail in Bytes
        select Spoil(message, edits, how, cut, tail);

    private static byte[] Spoil(byte[] message, (int At, byte Value)[] edits, int how, int cut, byte[] tail)
    {
        byte[] spoiled = [.. message];
        foreach ((int at, byte value) in edits.Take(6))
        {
            spoiled[at % spoiled.Length] = value;
        }

        return how switch
        {
            0 => spoiled[..(cut % (spoiled.Length + 1))],
            1 => [.. spoiled, .. tail],
            _ => spoiled,
        };
    }
}
