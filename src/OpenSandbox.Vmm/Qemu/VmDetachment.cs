using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using OpenSandbox.Vmm.Processes;

namespace OpenSandbox.Vmm.Qemu;

/// <summary>Makes a VM one that survives this process and can be adopted by another.</summary>
/// <param name="RuntimeDirectory">
/// Absolute path of a directory for this VM alone, which must not exist yet and is removed when the VM has been ended. It is short, because
/// the path of a Unix socket in it has at most 107 bytes.
/// </param>
/// <param name="Nonce">Random text that only this VM has: 16 to 64 hexadecimal digits, see <see cref="NewNonce"/>.</param>
internal sealed record VmDetachment(string RuntimeDirectory, string Nonce)
{
    private const int MinNonceLength = 16;
    private const int MaxNonceLength = 64;

    /// <summary>Most open files that a launcher keeps, the uid's lock not counted.</summary>
    internal const int MaxHeld = 7;

    /// <summary>
    /// Open files that stay open as long as the VM runs, so that locks on them (flock(2)) do, too: the launcher keeps duplicates, QEMU
    /// gets none. At most <see cref="MaxHeld"/>. The handles stay the caller's. The lock of the VM's uid is always kept besides.
    /// </summary>
    internal IReadOnlyList<SafeHandle> Held { get; init; } = [];

    /// <summary>A nonce that nobody else has.</summary>
    internal static string NewNonce() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));

    /// <summary>Whether a text can be a nonce.</summary>
    internal static bool IsNonce(string text) => text.Length is >= MinNonceLength and <= MaxNonceLength && text.All(char.IsAsciiHexDigit);

    /// <summary>The argument of QEMU's, and thereby of the launcher's, that has the nonce.</summary>
    internal static string NameOf(string nonce) => $"opensandbox-{nonce}";

    /// <summary>Checks all of it.</summary>
    /// <exception cref="ArgumentException">The directory is not absolute, the nonce is none, or too much is to be held.</exception>
    /// <exception cref="HostPrerequisiteException">The directory's path is too long for sockets.</exception>
    internal void Validate()
    {
        if (!Path.IsPathFullyQualified(RuntimeDirectory) || !IsNonce(Nonce) || Held.Count > MaxHeld)
        {
            throw new ArgumentException(
                $"A detached VM needs an absolute path ('{RuntimeDirectory}'), a nonce of {MinNonceLength} to {MaxNonceLength} hexadecimal digits, "
                    + $"and at most {MaxHeld} files to hold ({Held.Count}).");
        }

        int bytes = Encoding.UTF8.GetByteCount(Path.Combine(RuntimeDirectory, VmRuntimeDirectory.LongestSocketName));
        if (bytes > UnixSocketPath.MaxBytes)
        {
            throw new HostPrerequisiteException(
                $"{RuntimeDirectory} is too long for the sockets of a detached sandbox: their paths have {bytes} bytes, and Linux takes {UnixSocketPath.MaxBytes}",
                "Choose a shorter SandboxHostOptions.RuntimeDirectory");
        }
    }
}
