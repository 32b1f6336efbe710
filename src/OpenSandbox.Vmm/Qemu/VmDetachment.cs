using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace OpenSandbox.Vmm.Qemu;

/// <summary>Makes a VM one that survives this process and can be adopted by another.</summary>
/// <param name="RuntimeDirectory">
/// Absolute path of a directory for this VM alone, which must not exist yet and is removed when the VM has been ended. It is short, because
/// the path of a Unix socket in it has at most 107 bytes.
/// </param>
/// <param name="Nonce">Random text that only this VM has: 16 to 64 hexadecimal digits, see <see cref="NewNonce"/>.</param>
internal sealed record VmDetachment(string RuntimeDirectory, string Nonce)
{
    /// <summary>
    /// Open files that stay open as long as the VM runs, so that locks on them (flock(2)) do, too: the launcher keeps duplicates, QEMU
    /// gets none. The handles stay the caller's. The lock of the VM's uid is always among them.
    /// </summary>
    internal IReadOnlyList<SafeHandle> Held { get; init; } = [];

    /// <summary>A nonce that nobody else has.</summary>
    internal static string NewNonce() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));
}
