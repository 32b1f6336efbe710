namespace OpenSandbox.Agent;

/// <summary>
/// Standard input of a managed process, which several readers may write. What the process has not taken yet is kept in the order in which it
/// came; the windows of the streams bound it. Belongs to the bulk loop's thread.
/// </summary>
internal sealed class SharedInput(BulkLoop loop)
{
    private readonly InputPipe _pipe = new(loop);
    private readonly Queue<(ProcessReader? Writer, int Count)> _waiting = new();
    private byte _last = (byte)'\n';
    private int _taken; // of the first one in the queue

    /// <summary>Takes over a nonblocking descriptor.</summary>
    internal void Open(int fd) => _pipe.Open(fd);

    /// <summary>Writes, or keeps for later.</summary>
    /// <param name="writer">Who gets credit for it; <see langword="null"/>: the agent itself.</param>
    /// <param name="bytes">The bytes.</param>
    /// <param name="key">Key of the process among the event sources.</param>
    internal void Write(ProcessReader? writer, ReadOnlySpan<byte> bytes, uint key)
    {
        _last = bytes[^1];
        int done = _pipe.Write(bytes, key);
        writer?.InputTaken(done);
        if (done < bytes.Length)
        {
            _waiting.Enqueue((writer, bytes.Length - done));
        }
    }

    /// <summary>No more bytes will come.</summary>
    internal void End() => _pipe.End();

    /// <summary>Types the end-of-file character: once more where that would only end a line that was begun.</summary>
    internal void TypeEnd(byte character, uint key)
    {
        ReadOnlySpan<byte> twice = [character, character];
        Write(null, _last == (byte)'\n' ? twice[..1] : twice, key);
        _last = (byte)'\n';
    }

    /// <summary>The pipe has room, or nobody reads it any more.</summary>
    internal void Flush() => Done(_pipe.Flush());

    /// <summary>Closes the pipe; what waits is dropped.</summary>
    internal void Close() => Done(_pipe.Close());

    private void Done(int bytes)
    {
        while (bytes > 0 && _waiting.TryPeek(out (ProcessReader? Writer, int Count) first))
        {
            int count = Math.Min(bytes, first.Count - _taken);
            first.Writer?.InputTaken(count);
            bytes -= count;
            _taken += count;
            if (_taken == first.Count)
            {
                _waiting.Dequeue();
                _taken = 0;
            }
        }
    }
}
