using System.Globalization;

namespace OpenSandbox.Vmm;

/// <summary>TCP ports from <see cref="First"/> to <see cref="Last"/>, both included.</summary>
public readonly record struct EgressPortRange
{
    /// <summary>Makes a range.</summary>
    /// <param name="first">Lowest port, 1 to 65,535.</param>
    /// <param name="last">Highest port, <paramref name="first"/> to 65,535.</param>
    /// <exception cref="ArgumentOutOfRangeException">A port is outside its range.</exception>
    public EgressPortRange(int first, int last)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(first, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(last, first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(last, 65_535);
        First = first;
        Last = last;
    }

    /// <summary>Lowest port.</summary>
    public int First { get; }

    /// <summary>Highest port.</summary>
    public int Last { get; }

    /// <summary>Whether a port is in the range.</summary>
    /// <param name="port">The port.</param>
    /// <returns><see langword="true"/> if it is.</returns>
    public bool Contains(int port) => port >= First && port <= Last;

    /// <summary><c>443</c> or <c>8000-8999</c>.</summary>
    /// <returns>The text that <see cref="EgressRule.Parse"/> reads.</returns>
    public override string ToString() => First == Last
        ? First.ToString(CultureInfo.InvariantCulture)
        : string.Create(CultureInfo.InvariantCulture, $"{First}-{Last}");
}
