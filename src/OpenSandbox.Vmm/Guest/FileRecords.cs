using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Vmm;

/// <summary>Takes apart what the guest sends of several files: each with its content in memory, none larger than allowed.</summary>
internal sealed class FileRecords(Sandbox sandbox, IReadOnlyList<string> paths, int maxFileBytes) : IDisposable
{
    private readonly RecordReader _reader = new();
    private readonly Queue<SandboxFileResult> _complete = new();
    private OutputBuffer _content = new(maxFileBytes);
    private ItemReply? _head;
    private int _count;

    /// <summary>Adds bytes of the stream.</summary>
    /// <exception cref="InvalidDataException">They are no records, or others than those that were asked for.</exception>
    /// <exception cref="JsonException">A head is none.</exception>
    internal void Add(ReadOnlySpan<byte> bytes)
    {
        while (true)
        {
            switch (_reader.Read(ref bytes, out ReadOnlySpan<byte> part))
            {
                case RecordPart.NeedMore:
                    return;
                case RecordPart.Head:
                    if (_count++ == paths.Count)
                    {
                        throw new InvalidDataException("more files came than were asked for");
                    }

                    _head = JsonSerializer.Deserialize(part, ProtocolJsonContext.Default.ItemReply) ?? throw new JsonException("a head is null");
                    _content.Dispose();
                    _content = new OutputBuffer(maxFileBytes);
                    break;
                case RecordPart.Content:
                    _content.Append(part);
                    if (_content.Truncated)
                    {
                        throw new InvalidDataException("a file is larger than was asked for");
                    }

                    break;
                case RecordPart.End:
                    Complete(_head!.Error);
                    break;
                default:
                    Complete(JsonSerializer.Deserialize(part, ProtocolJsonContext.Default.ItemError) ?? throw new JsonException("an error is null"));
                    break;
            }
        }
    }

    /// <summary>Takes the next file that is complete.</summary>
    internal bool TryTake([NotNullWhen(true)] out SandboxFileResult? file) => _complete.TryDequeue(out file);

    /// <summary>At the end of the stream: everything must have come.</summary>
    /// <exception cref="InvalidDataException">Something is missing.</exception>
    internal void RequireAll()
    {
        if (_count != paths.Count || !_reader.IsBetweenRecords)
        {
            throw new InvalidDataException($"{_count} of {paths.Count} files came");
        }
    }

    public void Dispose() => _content.Dispose();

    private void Complete(ItemError? error)
    {
        string path = paths[_count - 1];
        _complete.Enqueue(error is not null
            ? new SandboxFileResult(path, null, GuestErrors.Translate(sandbox, $"reading {path}", error))
            : new SandboxFileResult(path, _head!.File is FileEntry file ? SandboxFile.From(file) : null, null) { Content = _content.Take() });
    }
}
