using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Host.Security;

/// <summary>Signs URLs for single files: HMAC-SHA256 with a key that the state directory keeps. Thread-safe.</summary>
internal sealed class UrlSigner
{
    internal const string Download = "download";
    internal const string Upload = "upload";

    private const string Tag = "opensandbox-signed-url";
    private const int KeyBytes = 32;

    private readonly byte[] _key;

    /// <summary>Reads the key, or makes it.</summary>
    /// <exception cref="IOException">It can be neither read nor kept.</exception>
    internal UrlSigner(string stateDirectory)
    {
        string directory = Path.Combine(stateDirectory, "api");
        Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        string file = Path.Combine(directory, "signing-key");
        if (File.Exists(file))
        {
            _key = File.ReadAllBytes(file);
            if (_key.Length != KeyBytes)
            {
                throw new IOException($"{file} is no key of {KeyBytes} bytes; remove it, which makes all signed URLs invalid");
            }

            return;
        }

        _key = RandomNumberGenerator.GetBytes(KeyBytes);
        DurableFile.Replace(file, _key);
    }

    /// <summary>The signature, hexadecimal.</summary>
    internal string Sign(string sandboxId, string path, string operation, long expires) =>
        Convert.ToHexStringLower(Compute(sandboxId, path, operation, expires));

    /// <summary>Whether a signature is right. Takes as long for each wrong one as for any other.</summary>
    internal bool Verify(string sandboxId, string path, string operation, long expires, string signature)
    {
        Span<byte> given = stackalloc byte[SHA256.HashSizeInBytes];
        return signature.Length == 2 * SHA256.HashSizeInBytes
            && Convert.FromHexString(signature, given, out _, out _) == System.Buffers.OperationStatus.Done
            && CryptographicOperations.FixedTimeEquals(given, Compute(sandboxId, path, operation, expires));
    }

    // No part but the path can hold a line feed, and the path's is told apart by what is behind it having a fixed shape.
    private byte[] Compute(string sandboxId, string path, string operation, long expires) => HMACSHA256.HashData(
        _key, Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{Tag}\n{sandboxId}\n{path}\n{operation}\n{expires}")));
}
