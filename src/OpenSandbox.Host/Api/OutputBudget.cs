namespace OpenSandbox.Host.Api;

/// <summary>How much output of commands the server holds at once, besides a little of each. Thread-safe.</summary>
/// <param name="bytes">Bytes of all commands together.</param>
internal sealed class OutputBudget(long bytes)
{
    /// <summary>Bytes of all commands together, if nothing else is said.</summary>
    internal const long Default = 256 << 20;

    /// <summary>Bytes that each command may have in any case.</summary>
    internal const int Free = 32 << 10;

    private readonly Lock _gate = new();
    private long _left = bytes;

    /// <summary>Bytes that are not taken.</summary>
    internal long Left
    {
        get
        {
            lock (_gate)
            {
                return _left;
            }
        }
    }

    /// <summary>The part of one command.</summary>
    internal Share Open() => new(this);

    /// <summary>What one command has of it, until it is disposed of.</summary>
    internal sealed class Share(OutputBudget budget) : IDisposable
    {
        private int _free = Free;
        private long _taken;
        private bool _disposed;

        /// <summary>Takes as much of some bytes as there is.</summary>
        /// <returns>How many they are.</returns>
        internal int Take(int wanted)
        {
            lock (budget._gate)
            {
                if (_disposed)
                {
                    return 0; // nobody would give them back
                }

                int free = Math.Min(wanted, _free);
                int more = (int)Math.Min(wanted - free, budget._left);
                _free -= free;
                _taken += more;
                budget._left -= more;
                return free + more;
            }
        }

        /// <summary>Gives everything back.</summary>
        public void Dispose()
        {
            lock (budget._gate)
            {
                _disposed = true;
                budget._left += _taken;
                _taken = 0;
            }
        }
    }
}
