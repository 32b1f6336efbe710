using System.Runtime.InteropServices;
using System.Text;

namespace OpenSandbox.Vmm;

/// <summary>
/// What a shell says on its report pipe: the state of the shell ahead of a run, and lines that begin with the token of the run. Whatever the
/// guest sends, its memory is bounded, and its work is in proportion to the bytes.
/// </summary>
/// <param name="limit">Bytes of state that are kept; a state that is larger is not kept at all.</param>
internal sealed class ShellReports(int limit)
{
    private const string EndOfState = "state";

    private readonly List<byte> _bytes = [];
    private int _lineStart;
    private bool _overflow;

    /// <summary>The last complete state, or <see langword="null"/>.</summary>
    internal string? State { get; private set; }

    /// <summary>Token of the run ahead of which <see cref="State"/> was reported, or was too large to be kept.</summary>
    internal string? StateToken { get; private set; }

    /// <summary>Begins a run: what was said before is forgotten, but the state is kept.</summary>
    internal void Clear()
    {
        _bytes.Clear();
        _lineStart = 0;
        _overflow = false;
    }

    /// <summary>Takes bytes.</summary>
    /// <param name="bytes">The bytes.</param>
    /// <param name="token">The run's token.</param>
    /// <returns>The run's status, once it has been said.</returns>
    internal string? Add(ReadOnlySpan<byte> bytes, string token)
    {
        foreach (byte next in bytes)
        {
            if (_bytes.Count == limit)
            {
                // Too much to keep. A token begins a line of its own, so none is lost but one in a line of this length.
                _bytes.Clear();
                _lineStart = 0;
                _overflow = true;
            }

            _bytes.Add(next);
            if (next == (byte)'\n' && TakeLine(token) is string said && said != EndOfState)
            {
                return said;
            }
        }

        return null;
    }

    /// <summary>Takes the line that is complete now.</summary>
    /// <returns>What it says, if it is one of the run's.</returns>
    private string? TakeLine(string token)
    {
        ReadOnlySpan<byte> all = CollectionsMarshal.AsSpan(_bytes);
        ReadOnlySpan<byte> line = all[_lineStart..^1];
        if (line.Length <= token.Length || line[token.Length] != (byte)' ' || Encoding.UTF8.GetString(line[..token.Length]) != token)
        {
            _lineStart = _bytes.Count;
            return null;
        }

        string said = Encoding.UTF8.GetString(line[(token.Length + 1)..]);
        if (said == EndOfState)
        {
            StateToken = token;
            State = _overflow ? null : Encoding.UTF8.GetString(all[.._lineStart]);
        }

        Clear();
        return said;
    }
}
