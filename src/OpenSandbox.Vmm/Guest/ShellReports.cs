using System.Text;

namespace OpenSandbox.Vmm;

/// <summary>What a shell says on its report pipe: lines that begin with the token of the run, and the shell's state ahead of a run.</summary>
/// <param name="limit">Bytes of state that are kept; a state that is larger is not kept at all.</param>
internal sealed class ShellReports(int limit)
{
    private readonly List<byte> _bytes = [];
    private bool _overflow;

    /// <summary>The last complete state, or <see langword="null"/>.</summary>
    internal string? State { get; private set; }

    /// <summary>Begins a run: what was said before is forgotten, but the state is kept.</summary>
    internal void Clear()
    {
        _bytes.Clear();
        _overflow = false;
    }

    /// <summary>Takes bytes.</summary>
    /// <param name="bytes">The bytes.</param>
    /// <param name="token">The run's token.</param>
    /// <returns>The run's status, once it has been said.</returns>
    internal string? Add(ReadOnlySpan<byte> bytes, string token)
    {
        byte[] mark = Encoding.ASCII.GetBytes($"\n{token} ");
        foreach (byte next in bytes)
        {
            if (_bytes.Count == limit)
            {
                // Too much to keep. The end of it stays, where the token is.
                _overflow = true;
                _bytes.RemoveRange(0, _bytes.Count - mark.Length - 16);
            }

            _bytes.Add(next);
            if (next != (byte)'\n' || TakeLine(mark) is not string said)
            {
                continue;
            }

            if (said != "state")
            {
                return said;
            }
        }

        return null;
    }

    /// <summary>What the last line says, if it is one of the run's; the bytes are then used up.</summary>
    private string? TakeLine(byte[] mark)
    {
        Span<byte> all = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_bytes);
        Span<byte> body = all[..^1];
        int start = body.LastIndexOf(mark);
        if (start < 0 || body[(start + mark.Length)..].Contains((byte)'\n'))
        {
            return null;
        }

        string said = Encoding.UTF8.GetString(body[(start + mark.Length)..]);
        if (said == "state")
        {
            State = _overflow ? null : Encoding.UTF8.GetString(all[..start]);
        }

        _bytes.Clear();
        _overflow = false;
        return said;
    }
}
