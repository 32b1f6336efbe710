namespace OpenSandbox.PerfHarness.Measuring;

/// <summary>One comparison, or one number that explains another.</summary>
internal sealed record Figure
{
    /// <summary>What it is, within its row.</summary>
    public required string Name { get; init; }

    /// <summary>Unit of all its numbers but the ratio.</summary>
    public required string Unit { get; init; }

    /// <summary>The floor's number; absent where there is none.</summary>
    public double? Floor { get; init; }

    /// <summary>The library's.</summary>
    public double? Ours { get; init; }

    /// <summary>Ours divided by the floor.</summary>
    public double? Ratio { get; init; }

    /// <summary>In words; absent: the figure only explains.</summary>
    public string? Goal { get; init; }

    /// <summary>Whether the goal holds.</summary>
    public bool? Holds { get; init; }

    /// <summary>The floor's series.</summary>
    public Summary? FloorSeries { get; init; }

    /// <summary>The library's series.</summary>
    public Summary? OursSeries { get; init; }

    /// <summary>CPU time that the floor program took per measurement, milliseconds; QEMU not counted.</summary>
    public double? FloorCpuMilliseconds { get; init; }

    /// <summary>CPU time that this process took per measurement, milliseconds; QEMU not counted.</summary>
    public double? OursCpuMilliseconds { get; init; }

    /// <summary>Compares medians, smaller being better.</summary>
    internal static Figure Compare(string name, string unit, Series floor, Series ours, string? goal = null, Func<double, double, bool>? holds = null) =>
        Compare(name, unit, floor, ours, static series => series.P50, goal, holds);

    /// <summary>Compares a number of both series.</summary>
    /// <param name="name">What it is.</param>
    /// <param name="unit">Unit of both series.</param>
    /// <param name="floor">The floor's.</param>
    /// <param name="ours">The library's.</param>
    /// <param name="number">Which number of a series.</param>
    /// <param name="goal">In words.</param>
    /// <param name="holds">Takes the floor's number and ours.</param>
    internal static Figure Compare(
        string name, string unit, Series floor, Series ours, Func<Series, double> number, string? goal = null, Func<double, double, bool>? holds = null)
    {
        double below = number(floor);
        double above = number(ours);
        return new Figure
        {
            Name = name,
            Unit = unit,
            Floor = below,
            Ours = above,
            Ratio = below == 0 ? null : above / below,
            Goal = goal,
            Holds = holds?.Invoke(below, above),
            FloorSeries = floor.Summary,
            OursSeries = ours.Summary,
        };
    }

    /// <summary>A series of ours that explains something.</summary>
    internal static Figure OfOurs(string name, string unit, Series ours) =>
        new() { Name = name, Unit = unit, Ours = ours.P50, OursSeries = ours.Summary };

    /// <summary>A series of the floor's that explains something.</summary>
    internal static Figure OfFloor(string name, string unit, Series floor) =>
        new() { Name = name, Unit = unit, Floor = floor.P50, FloorSeries = floor.Summary };
}
