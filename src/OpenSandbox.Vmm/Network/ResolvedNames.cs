using System.Net;

namespace OpenSandbox.Vmm;

/// <summary>Which names this sandbox was told an address for: what makes rules for names hold for connections.</summary>
/// <remarks>
/// Thread-safe and bounded: at most <see cref="Capacity"/> pairs of address and name, the one told longest ago goes first, and at most
/// <see cref="NamesPerAddress"/> names for one address. A pair is good for the answer's time to live, but at least <see cref="Floor"/>, and for
/// <see cref="Grace"/> after that: programs go on using an address for a while after it has run out.
/// </remarks>
internal sealed class ResolvedNames(TimeProvider time)
{
    internal const int Capacity = 4_096;
    internal const int NamesPerAddress = 16;
    internal static readonly TimeSpan Floor = TimeSpan.FromSeconds(60);
    internal static readonly TimeSpan Grace = TimeSpan.FromSeconds(300);

    private readonly Lock _lock = new();
    private readonly Dictionary<IPAddress, List<Pair>> _byAddress = [];
    private readonly LinkedList<Pair> _order = [];

    /// <summary>Pairs kept now.</summary>
    internal int Count
    {
        get
        {
            lock (_lock)
            {
                return _order.Count;
            }
        }
    }

    /// <summary>Notes that the sandbox is told these addresses for a name.</summary>
    internal void Add(string name, IEnumerable<IPAddress> addresses, TimeSpan timeToLive)
    {
        long end = time.GetTimestamp() + Ticks((timeToLive > Floor ? timeToLive : Floor) + Grace);
        lock (_lock)
        {
            foreach (IPAddress address in addresses)
            {
                Add(name, address, end);
            }
        }
    }

    /// <summary>The names that are live for an address now, latest first; empty for an address never told.</summary>
    internal string[] Of(IPAddress address)
    {
        long now = time.GetTimestamp();
        lock (_lock)
        {
            if (!_byAddress.TryGetValue(address, out List<Pair>? pairs))
            {
                return [];
            }

            for (int i = pairs.Count - 1; i >= 0; i--)
            {
                if (pairs[i].End <= now)
                {
                    Remove(pairs[i]);
                }
            }

            var names = new string[pairs.Count];
            for (int i = 0; i < names.Length; i++)
            {
                names[i] = pairs[names.Length - 1 - i].Name;
            }

            return names;
        }
    }

    private long Ticks(TimeSpan span) => (long)(span.TotalSeconds * time.TimestampFrequency);

    private void Add(string name, IPAddress address, long end)
    {
        if (!_byAddress.TryGetValue(address, out List<Pair>? pairs))
        {
            _byAddress.Add(address, pairs = []);
        }

        int known = pairs.FindIndex(pair => string.Equals(pair.Name, name, StringComparison.Ordinal));
        if (known >= 0)
        {
            // A shorter answer does not take back what a longer one promised.
            end = Math.Max(end, pairs[known].End);
            _order.Remove(pairs[known].Place);
            pairs.RemoveAt(known);
        }
        else if (pairs.Count == NamesPerAddress)
        {
            _order.Remove(pairs[0].Place);
            pairs.RemoveAt(0);
        }

        var added = new Pair(name, address, end);
        added.Place = _order.AddLast(added);
        pairs.Add(added);
        if (_order.Count > Capacity)
        {
            Remove(_order.First!.Value);
        }
    }

    private void Remove(Pair pair)
    {
        _order.Remove(pair.Place);
        List<Pair> pairs = _byAddress[pair.Address];
        pairs.Remove(pair);
        if (pairs.Count == 0)
        {
            _byAddress.Remove(pair.Address);
        }
    }

    private sealed class Pair
    {
        internal Pair(string name, IPAddress address, long end)
        {
            Name = name;
            Address = address;
            End = end;
            Place = null!;
        }

        internal string Name { get; }

        internal IPAddress Address { get; }

        internal long End { get; }

        internal LinkedListNode<Pair> Place { get; set; }
    }
}
