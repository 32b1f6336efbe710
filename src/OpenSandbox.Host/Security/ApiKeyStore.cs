using System.Security.Cryptography;
using System.Text;

namespace OpenSandbox.Host.Security;

/// <summary>The keys that clients may use. Only their digests are kept. Thread-safe.</summary>
/// <remarks>
/// The file is looked at when a key is checked and at least a second has passed since the last look; a file that cannot be read, or is none,
/// leaves the keys as they were, and the log says so.
/// </remarks>
internal sealed class ApiKeyStore
{
    private const int MaxKeyLength = 512;
    private const int MaxFileBytes = 1 << 20;
    private static readonly TimeSpan s_lookInterval = TimeSpan.FromSeconds(1);

    private readonly byte[][] _fixed;
    private readonly string? _file;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Lock _gate = new();
    private (DateTime Written, long Bytes) _stamp;
    private long _lookedAt;
    private volatile byte[][] _digests;

    /// <summary>Reads the keys.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="FormatException">A line of it is no key.</exception>
    internal ApiKeyStore(ServerOptions options, ILogger logger)
    {
        _fixed = [.. options.ApiKeys.Select(Digest)];
        _file = options.ApiKeysFile;
        _time = options.Sandboxes.TimeProvider;
        _logger = logger;
        _lookedAt = _time.GetTimestamp();
        if (_file is not null)
        {
            _stamp = Stamp(_file);
        }

        _digests = _file is null ? _fixed : [.. _fixed, .. Read(_file)];
    }

    /// <summary>Whether a key is needed at all.</summary>
    internal bool IsRequired => _digests.Length > 0 || _file is not null;

    /// <summary>Whether a key is one of them. Takes as long for each wrong key as for any other.</summary>
    /// <param name="key">What the client has sent.</param>
    /// <param name="id">Which client it is: for limits and logs, tells nothing about the key.</param>
    internal bool Accepts(string key, out string id)
    {
        LookAtFile();
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes(key), digest);
        id = Convert.ToHexStringLower(digest[..4]);
        bool found = false;
        foreach (byte[] known in _digests)
        {
            found |= CryptographicOperations.FixedTimeEquals(known, digest);
        }

        return found;
    }

    /// <summary>Checks that a text can be a key.</summary>
    /// <exception cref="ArgumentException">It cannot.</exception>
    internal static void Check(string key, string name)
    {
        if (!IsKey(key))
        {
            throw new ArgumentException($"a key has 1 to {MaxKeyLength} visible ASCII characters", name);
        }
    }

    private static bool IsKey(string key) => key.Length is > 0 and <= MaxKeyLength && key.All(static c => c is > ' ' and <= '~');

    private static byte[] Digest(string key) => SHA256.HashData(Encoding.UTF8.GetBytes(key));

    private static (DateTime Written, long Bytes) Stamp(string file)
    {
        var info = new FileInfo(file);
        return info.Exists ? (info.LastWriteTimeUtc, info.Length) : throw new FileNotFoundException($"the file of API keys is not there: {file}", file);
    }

    private static List<byte[]> Read(string file)
    {
        using FileStream stream = File.OpenRead(file);
        if (stream.Length > MaxFileBytes)
        {
            throw new FormatException($"{file}: more than {MaxFileBytes} bytes are no list of keys");
        }

        var digests = new List<byte[]>();
        using var reader = new StreamReader(stream, Encoding.UTF8);
        for (int number = 1; reader.ReadLine() is { } line; number++)
        {
            string key = line.Trim();
            if (key.Length > 0 && key[0] != '#')
            {
                digests.Add(IsKey(key)
                    ? Digest(key)
                    : throw new FormatException($"{file}, line {number}: a key has 1 to {MaxKeyLength} visible ASCII characters"));
            }
        }

        return digests;
    }

    private void LookAtFile()
    {
        if (_file is null || _time.GetElapsedTime(Volatile.Read(ref _lookedAt)) < s_lookInterval)
        {
            return;
        }

        lock (_gate)
        {
            Volatile.Write(ref _lookedAt, _time.GetTimestamp());
            try
            {
                (DateTime Written, long Bytes) stamp = Stamp(_file);
                if (stamp != _stamp)
                {
                    _digests = [.. _fixed, .. Read(_file)];
                    _stamp = stamp;
                    HostLog.KeysRead(_logger, _file, _digests.Length);
                }
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or FormatException)
            {
                HostLog.KeysNotRead(_logger, _file, failure);
            }
        }
    }
}
