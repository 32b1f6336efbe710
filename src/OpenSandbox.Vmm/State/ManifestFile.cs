using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.State;

/// <summary>
/// Manifests as files. The record stands in an envelope with the digest of its bytes, so that a file is either exactly what was written or
/// refused: <c>{"sha256":"…","manifest":{…}}</c> and a line feed.
/// </summary>
internal static class ManifestFile
{
    /// <summary>Longest manifest, bytes. The most rules that a policy may have take about 2.5 MiB.</summary>
    internal const int MaxBytes = 8 << 20;

    private const int DigestCharacters = 64;

    private static ReadOnlySpan<byte> Head => "{\"sha256\":\""u8;

    private static ReadOnlySpan<byte> Middle => "\",\"manifest\":"u8;

    private static ReadOnlySpan<byte> Tail => "}\n"u8;

    /// <summary>The bytes of a manifest's file.</summary>
    /// <exception cref="InvalidDataException">A bound or rule is violated; it could not be read again.</exception>
    internal static byte[] Encode<T>(T manifest)
        where T : class, IManifest<T>
    {
        manifest.Validate();
        byte[] record = JsonSerializer.SerializeToUtf8Bytes(manifest, T.JsonType);
        int length = Head.Length + DigestCharacters + Middle.Length + record.Length + Tail.Length;
        if (length > MaxBytes)
        {
            throw new InvalidDataException($"it would have {length} bytes, more than {MaxBytes}");
        }

        byte[] file = new byte[length];
        Span<byte> rest = file;
        rest = Put(rest, Head);
        rest = Put(rest, Digest(record));
        rest = Put(rest, Middle);
        rest = Put(rest, record);
        Put(rest, Tail);
        return file;
    }

    /// <summary>Reads the bytes of a manifest's file.</summary>
    /// <exception cref="InvalidDataException">They are not exactly what was written, or not by a version that this one can read.</exception>
    internal static T Decode<T>(ReadOnlySpan<byte> file)
        where T : class, IManifest<T>
    {
        int before = Head.Length + DigestCharacters + Middle.Length;
        if (file.Length < before + Tail.Length || !file.StartsWith(Head) || !file[(Head.Length + DigestCharacters)..].StartsWith(Middle)
            || !file.EndsWith(Tail))
        {
            throw new InvalidDataException("it is not in the form of a manifest; it was cut short, or is of another program");
        }

        ReadOnlySpan<byte> record = file[before..^Tail.Length];
        if (!file.Slice(Head.Length, DigestCharacters).SequenceEqual(Digest(record)))
        {
            throw new InvalidDataException("its content does not match its own digest: it was damaged, or edited");
        }

        try
        {
            int format = JsonSerializer.Deserialize(record, StateJsonContext.Default.ManifestHeader)?.Format ?? 0;
            if (format != T.CurrentFormat)
            {
                throw new InvalidDataException(
                    $"it has format {format}, and this version reads format {T.CurrentFormat} only: it was written by "
                        + $"{(format > T.CurrentFormat ? "a newer" : "an older")} version");
            }

            T manifest = JsonSerializer.Deserialize(record, T.JsonType) ?? throw new InvalidDataException("it is null");
            manifest.Validate();
            return manifest;
        }
        catch (JsonException wrong)
        {
            throw new InvalidDataException($"it is not in the form of a {T.Description}: {wrong.Message}", wrong);
        }
    }

    /// <summary>Reads a manifest.</summary>
    /// <param name="path">The file.</param>
    /// <param name="bytes">Its bytes, to be put back where a replacement fails.</param>
    /// <returns>The manifest, or <see langword="null"/> if there is no such file.</returns>
    /// <exception cref="StateFileException">It cannot be read or is damaged; it is left as it is.</exception>
    internal static T? TryRead<T>(string path, out byte[] bytes)
        where T : class, IManifest<T>
    {
        bytes = [];
        try
        {
            using SafeFileHandle? file = StateFiles.TryOpen(path, Libc.O_RDONLY);
            if (file is null)
            {
                return null;
            }

            bytes = ReadAll(file);
            return Decode<T>(bytes);
        }
        catch (Exception unreadable) when (unreadable is (IOException and not StateFileException) or InvalidDataException)
        {
            throw new StateFileException(
                path,
                $"this {T.Description} cannot be read: {unreadable.Message}",
                "It is left as it is, and no layer is swept while that is so. Restore it from a backup, use the version that wrote it, or move "
                    + "its directory away if it can be given up",
                unreadable);
        }
    }

    private static byte[] ReadAll(SafeFileHandle file)
    {
        long length = RandomAccess.GetLength(file);
        if (length > MaxBytes)
        {
            throw new InvalidDataException($"it has {length} bytes, more than {MaxBytes}");
        }

        byte[] bytes = new byte[length];
        for (int at = 0; at < bytes.Length;)
        {
            int count = RandomAccess.Read(file, bytes.AsSpan(at), at);
            if (count == 0)
            {
                throw new InvalidDataException("it became shorter while it was read");
            }

            at += count;
        }

        return bytes;
    }

    private static byte[] Digest(ReadOnlySpan<byte> record) =>
        System.Text.Encoding.ASCII.GetBytes(Convert.ToHexStringLower(SHA256.HashData(record)));

    private static Span<byte> Put(Span<byte> destination, ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(destination);
        return destination[bytes.Length..];
    }
}
