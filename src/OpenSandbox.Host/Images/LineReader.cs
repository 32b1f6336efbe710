using System.Text;

namespace OpenSandbox.Host.Images;

/// <summary>Makes lines of output that comes in pieces. What is longer than a line may be is cut into several.</summary>
internal sealed class LineReader(Action<string> take)
{
    private const int MaxLine = 2_000;

    private readonly Decoder _decoder = new UTF8Encoding(false, throwOnInvalidBytes: false).GetDecoder();
    private readonly StringBuilder _line = new();

    /// <summary>Takes a piece.</summary>
    internal void Add(ReadOnlySpan<byte> bytes)
    {
        char[] characters = new char[_decoder.GetCharCount(bytes, flush: false)];
        int count = _decoder.GetChars(bytes, characters, flush: false);
        foreach (char c in characters.AsSpan(0, count))
        {
            if (c is '\n' or '\r' || _line.Length >= MaxLine)
            {
                End();
            }

            if (c is '\t' || !char.IsControl(c))
            {
                _line.Append(c);
            }
        }
    }

    /// <summary>The last line has ended, too.</summary>
    internal void End()
    {
        if (_line.Length > 0)
        {
            take(_line.ToString());
            _line.Clear();
        }
    }
}
