using System.Net;

namespace OpenSandbox.Vmm;

/// <summary>What the guard says of an address.</summary>
/// <param name="Range">What it belongs to, in words; <see langword="null"/>: a public address.</param>
/// <param name="RequiredPrefix">Prefix length that a rule needs at least to open it.</param>
/// <param name="Embedded">IPv4 addresses that it stands for, to be judged as well.</param>
internal readonly record struct AddressVerdict(string? Range, int RequiredPrefix, IPAddress[] Embedded)
{
    internal static readonly AddressVerdict Public = new(null, 0, []);

    internal bool IsGuarded => Range is not null;
}
