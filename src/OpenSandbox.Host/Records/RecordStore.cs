using System.Collections.Concurrent;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Host.Records;

/// <summary>
/// Records of one kind, each a file of its own in a directory, replaced as a whole and durably. Thread-safe; changes come one after the other.
/// </summary>
/// <typeparam name="T">The record; immutable.</typeparam>
internal sealed class RecordStore<T>
    where T : class
{
    private const int MaxFileBytes = 128 << 20;
    private const string Ending = ".json";

    private readonly string _directory;
    private readonly JsonTypeInfo<T> _shape;
    private readonly ILogger _logger;
    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<string, T> _records = new(StringComparer.Ordinal);

    /// <summary>Reads what there is; what cannot be read is left out, and the log says so.</summary>
    /// <param name="directory">Where; made if it is not there.</param>
    /// <param name="shape">How they are written.</param>
    /// <param name="isKnown">Whether a record is of a format that this program knows, and whole.</param>
    /// <param name="logger">The log.</param>
    /// <exception cref="IOException">The directory cannot be used.</exception>
    internal RecordStore(string directory, JsonTypeInfo<T> shape, Func<T, bool> isKnown, ILogger logger)
    {
        _directory = directory;
        _shape = shape;
        _logger = logger;
        Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        foreach (string file in Directory.EnumerateFiles(directory))
        {
            if (!file.EndsWith(Ending, StringComparison.Ordinal))
            {
                File.Delete(file); // what a killed server had begun to write
            }
            else if (Read(file, isKnown) is { } record)
            {
                _records[Path.GetFileNameWithoutExtension(file)] = record;
            }
        }
    }

    /// <summary>All of them.</summary>
    internal ICollection<T> All => _records.Values;

    /// <summary>The keys of all of them.</summary>
    internal ICollection<string> Keys => _records.Keys;

    /// <summary>A record, if there is one.</summary>
    internal T? Find(string key) => _records.GetValueOrDefault(key);

    /// <summary>Whether a record's file is there, be it that it cannot be read.</summary>
    internal bool HasFile(string key) => File.Exists(FileOf(key));

    /// <summary>Adds, replaces or removes a record, durably.</summary>
    /// <param name="key">Its key: a file's name, without a slash.</param>
    /// <param name="change">Makes the new record of the old one; nothing: none.</param>
    /// <returns>The new record.</returns>
    /// <exception cref="IOException">
    /// It could not be written, and the old one holds; or it is removed, and may be there again after a power failure.
    /// </exception>
    internal T? Change(string key, Func<T?, T?> change)
    {
        lock (_gate)
        {
            T? old = Find(key);
            T? changed = change(old);
            if (changed is null)
            {
                File.Delete(FileOf(key));
                _records.TryRemove(key, out _);
                DurableFile.SyncDirectory(_directory);
            }
            else if (!ReferenceEquals(changed, old))
            {
                DurableFile.Replace(FileOf(key), JsonSerializer.SerializeToUtf8Bytes(changed, _shape));
                _records[key] = changed;
            }

            return changed;
        }
    }

    private string FileOf(string key) => Path.Combine(_directory, key + Ending);

    private T? Read(string file, Func<T, bool> isKnown)
    {
        try
        {
            using FileStream stream = File.OpenRead(file);
            T? record = stream.Length <= MaxFileBytes ? JsonSerializer.Deserialize(stream, _shape) : null;
            if (record is not null && isKnown(record))
            {
                return record;
            }

            HostLog.FileUnreadable(_logger, file, "it is none, or of a later format");
        }
        catch (Exception failure) when (failure is IOException or JsonException)
        {
            HostLog.FileUnreadable(_logger, file, failure.Message);
        }

        return null;
    }
}
