using System.Collections.Concurrent;
using System.Text.Json;
using OpenSandbox.Host.Json;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Host.Records;

/// <summary>
/// The entries of all sandboxes, each a file of its own below the state directory, replaced as a whole and durably. Thread-safe; changes
/// of one entry come one after the other.
/// </summary>
internal sealed class EntryStore
{
    private const int MaxFileBytes = 4 << 20;
    private const int MaxEnded = 4_096;
    private const string Ending = ".json";
    private const string UnreadableEnding = ".unreadable";

    private readonly string _directory;
    private readonly ILogger _logger;
    private readonly ConcurrentDictionary<string, SandboxEntry> _entries = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, bool> _unreadable = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Lock> _gates = new(StringComparer.Ordinal);

    /// <summary>Reads what there is.</summary>
    /// <exception cref="IOException">The directory cannot be used.</exception>
    internal EntryStore(string stateDirectory, ILogger logger)
    {
        _directory = Path.Combine(stateDirectory, "api", "sandboxes");
        _logger = logger;
        Directory.CreateDirectory(_directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        foreach (string file in Directory.EnumerateFiles(_directory))
        {
            if (file.EndsWith(DurableFile.TemporaryEnding, StringComparison.Ordinal))
            {
                File.Delete(file); // what a killed server had begun to write
            }
            else if (file.EndsWith(Ending, StringComparison.Ordinal))
            {
                if (Read(file) is { } entry)
                {
                    _entries[entry.Id] = entry;
                }
                else
                {
                    _unreadable[Path.GetFileNameWithoutExtension(file)] = true;
                }
            }
        }
    }

    /// <summary>The entry of a sandbox, if there is one.</summary>
    internal SandboxEntry? Find(string id) => _entries.GetValueOrDefault(id);

    /// <summary>All of them.</summary>
    internal IEnumerable<SandboxEntry> All => _entries.Values;

    /// <summary>Adds or replaces an entry, durably.</summary>
    /// <exception cref="IOException">It could not be written; the old one holds.</exception>
    internal void Put(SandboxEntry entry)
    {
        lock (GateOf(entry.Id))
        {
            Write(entry);
        }
    }

    /// <summary>Changes an entry, durably.</summary>
    /// <returns>The changed entry; nothing if there is none.</returns>
    /// <exception cref="IOException">It could not be written; the old one holds.</exception>
    internal SandboxEntry? Change(string id, Func<SandboxEntry, SandboxEntry> change)
    {
        lock (GateOf(id))
        {
            if (!_entries.TryGetValue(id, out SandboxEntry? entry))
            {
                return null;
            }

            SandboxEntry changed = change(entry);
            if (!ReferenceEquals(changed, entry))
            {
                Write(changed);
            }

            return changed;
        }
    }

    /// <summary>Forgets the sandboxes that ended first, if they are many.</summary>
    internal void Trim()
    {
        foreach (SandboxEntry entry in _entries.Values.Where(static entry => entry.EndedAt is not null).OrderByDescending(static entry => entry.EndedAt).Skip(MaxEnded))
        {
            lock (GateOf(entry.Id))
            {
                File.Delete(FileOf(entry.Id));
                _entries.TryRemove(entry.Id, out _);
            }

            _gates.TryRemove(entry.Id, out _);
        }
    }

    private Lock GateOf(string id) => _gates.GetOrAdd(id, static _ => new Lock());

    private string FileOf(string id) => Path.Combine(_directory, id + Ending);

    private void Write(SandboxEntry entry)
    {
        if (_unreadable.ContainsKey(entry.Id))
        {
            // A later server, or a person, may make something of it.
            File.Move(FileOf(entry.Id), $"{FileOf(entry.Id)}.{Guid.NewGuid():N}{UnreadableEnding}");
            _unreadable.TryRemove(entry.Id, out _);
        }

        DurableFile.Replace(FileOf(entry.Id), JsonSerializer.SerializeToUtf8Bytes(entry, HostJsonContext.Default.SandboxEntry));
        _entries[entry.Id] = entry;
    }

    private SandboxEntry? Read(string file)
    {
        string id = Path.GetFileNameWithoutExtension(file);
        try
        {
            using FileStream stream = File.OpenRead(file);
            SandboxEntry? entry = stream.Length <= MaxFileBytes ? JsonSerializer.Deserialize(stream, HostJsonContext.Default.SandboxEntry) : null;
            if (entry?.Id == id && entry.Format <= SandboxEntry.CurrentFormat)
            {
                return entry;
            }

            HostLog.RecordUnreadable(_logger, id, "it is none, or of a later format");
        }
        catch (Exception failure) when (failure is IOException or JsonException)
        {
            HostLog.RecordUnreadable(_logger, id, failure.Message);
        }

        return null;
    }
}
