using System.Runtime.CompilerServices;
using System.Text.Json;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Vmm;

/// <summary>Files that are being watched, from <see cref="SandboxFiles.WatchAsync"/>. Ends when it is disposed of.</summary>
/// <remarks>
/// May be enumerated once, by one reader. A reader that is slow holds up nobody: the guest keeps a bounded number of events and reports
/// those that it had to drop as <see cref="SandboxFileEventKind.Overflow"/>.
/// </remarks>
public sealed class SandboxFileWatch : IAsyncEnumerable<SandboxFileEvent>, IAsyncDisposable
{
    private const int MaxEventBytes = 65_536;

    private readonly Sandbox _sandbox;
    private readonly GuestStream _stream;
    private int _enumerated;

    internal SandboxFileWatch(Sandbox sandbox, GuestStream stream, string path)
    {
        _sandbox = sandbox;
        _stream = stream;
        Path = path;
    }

    /// <summary>The path that is watched.</summary>
    public string Path { get; }

    /// <summary>
    /// The events, as they happen. Ends when what is watched has been deleted, moved away or unmounted, and when this object is disposed of.
    /// </summary>
    /// <param name="cancellationToken">Ends the enumeration with <see cref="OperationCanceledException"/>; dispose of this object to stop the watch.</param>
    /// <returns>The enumerator.</returns>
    /// <exception cref="InvalidOperationException">It has been enumerated already.</exception>
    public IAsyncEnumerator<SandboxFileEvent> GetAsyncEnumerator(CancellationToken cancellationToken = default) =>
        Interlocked.Exchange(ref _enumerated, 1) == 0
            ? ReadAsync(cancellationToken).GetAsyncEnumerator(cancellationToken)
            : throw new InvalidOperationException("the events can be enumerated once");

    /// <summary>Stops watching.</summary>
    /// <returns>When the guest has been told.</returns>
    public ValueTask DisposeAsync() => _stream.DisposeAsync();

    private async IAsyncEnumerable<SandboxFileEvent> ReadAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var lines = new LineSplitter(MaxEventBytes);
        var events = new List<SandboxFileEvent>();
        while (true)
        {
            events.Clear();
            try
            {
                using GuestData data = await _stream.ReadAsync(cancellationToken).ConfigureAwait(false);
                if (data.IsEnd)
                {
                    yield break;
                }

                lines.Add(data.Bytes.Span, line => events.Add(From(
                    JsonSerializer.Deserialize(line, ProtocolJsonContext.Default.WatchEvent) ?? throw new JsonException("an event is null"))));
            }
            catch (Exception malformed) when (malformed is JsonException or InvalidDataException)
            {
                throw new SandboxOperationException(
                    SandboxErrorCode.OperationFailed, _sandbox.Id, 0, $"sandbox {_sandbox.Id}: watching {Path}: the guest sent no valid event", malformed);
            }
            catch (ObjectDisposedException)
            {
                yield break; // by this object's own disposal
            }
            catch (Exception failure) when (GuestErrors.Concerns(failure))
            {
                throw await GuestErrors.TranslateAsync(_sandbox, $"watching {Path}", failure).ConfigureAwait(false);
            }

            foreach (SandboxFileEvent happened in events)
            {
                yield return happened;
            }
        }
    }

    private static SandboxFileEvent From(WatchEvent told) => new(
        told.Kind switch
        {
            "created" => SandboxFileEventKind.Created,
            "modified" => SandboxFileEventKind.Modified,
            "written" => SandboxFileEventKind.Written,
            "attributes" => SandboxFileEventKind.AttributesChanged,
            "moved_from" => SandboxFileEventKind.MovedFrom,
            "moved_to" => SandboxFileEventKind.MovedTo,
            "deleted" => SandboxFileEventKind.Deleted,
            "overflow" => SandboxFileEventKind.Overflow,
            "limit" => SandboxFileEventKind.WatchLimit,
            _ => throw new JsonException($"no event is called '{told.Kind}'"),
        },
        told.Path ?? "",
        told.Directory,
        told.Cookie);
}
