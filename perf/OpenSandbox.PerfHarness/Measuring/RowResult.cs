namespace OpenSandbox.PerfHarness.Measuring;

/// <summary>What a row of docs/specification.md came to, as it stands in the JSON.</summary>
internal sealed record RowResult
{
    public required string Row { get; init; }

    public required string Title { get; init; }

    /// <summary>Unit, floor, ours and ratio are those of the first figure that misses its goal, else of the first figure.</summary>
    public required string Unit { get; init; }

    public double? Floor { get; init; }

    public double? Ours { get; init; }

    public double? Ratio { get; init; }

    /// <summary>The row's goal as the specification has it.</summary>
    public required string Goal { get; init; }

    /// <summary>Whether every figure with a goal holds.</summary>
    public required bool Holds { get; init; }

    public required IReadOnlyList<Figure> Figures { get; init; }

    public required MachineFacts Machine { get; init; }

    /// <summary>Makes a row of its figures: the first that does not hold stands for it, else the first.</summary>
    internal static RowResult From(Rows.Row row, MachineFacts machine, IReadOnlyList<Figure> figures)
    {
        Figure decisive = figures.FirstOrDefault(static figure => figure.Holds == false) ?? figures[0];
        return new RowResult
        {
            Row = row.Id,
            Title = row.Title,
            Unit = decisive.Unit,
            Floor = decisive.Floor,
            Ours = decisive.Ours,
            Ratio = decisive.Ratio,
            Goal = row.Goal,
            Holds = figures.All(static figure => figure.Holds != false),
            Figures = figures,
            Machine = machine,
        };
    }
}
