using System.Globalization;

namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>What a writer has acknowledged: a line with a number for each file that it has synced. The pieces come in order.</summary>
internal sealed class AckLog
{
    private readonly Lock _gate = new();
    private string _begun = "";
    private long _next = -1;

    /// <summary>The last number that has come in whole; 0 if none has.</summary>
    internal int Last { get; private set; }

    /// <summary>How many numbers have come.</summary>
    internal int Count { get; private set; }

    /// <summary>Number of the byte after the last one.</summary>
    internal long Next => Math.Max(0, _next);

    internal void Add(long sequence, string text)
    {
        lock (_gate)
        {
            if (_next >= 0 && sequence != _next)
            {
                throw new InvalidOperationException($"output at {sequence} instead of {_next}");
            }

            bool inside = _next < 0 && sequence > 0; // the first line may have begun before
            _next = sequence + text.Length;
            string[] lines = (_begun + text).Split('\n');
            _begun = lines[^1];
            foreach (string line in lines.SkipLast(1).Skip(inside ? 1 : 0))
            {
                int number = int.Parse(line, CultureInfo.InvariantCulture);
                if (Last != 0 && number != Last + 1)
                {
                    throw new InvalidOperationException($"{number} was acknowledged after {Last}");
                }

                Last = number;
                Count++;
            }

            if (inside && lines.Length == 1)
            {
                _next = -1; // still in it
                _begun = "";
            }
        }
    }
}
