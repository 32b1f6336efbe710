namespace OpenSandbox.PerfHarness;

/// <summary>What the command line asks for.</summary>
internal sealed record HarnessOptions
{
    internal const string Usage = """
        usage: bench.sh [--rows P1,P6] [--n COUNT] [--json FILE] [--strict] [--list]
          --rows    only these rows of docs/specification.md; default: all that can be measured
          --n       measurements per row, after the warm-up; default: what each row is specified with
          --json    writes an array with one entry per row that ran
          --strict  exit code 2 when a row that ran does not hold
          --list    lists the rows and ends
        exit codes: 0 all chosen rows ran, 1 a row failed to run, 2 a row does not hold (with --strict), 64 wrong arguments
        """;

    /// <summary>Ids of the rows to run; <see langword="null"/>: all.</summary>
    internal IReadOnlyList<string>? Rows { get; private set; }

    /// <summary>Where the JSON goes.</summary>
    internal string? JsonFile { get; private set; }

    /// <summary>Measurements per row; <see langword="null"/>: each row's own.</summary>
    internal int? Count { get; private set; }

    internal bool List { get; private set; }

    internal bool Strict { get; private set; }

    /// <summary>Reads the arguments.</summary>
    /// <exception cref="ArgumentException">They are wrong; the message says how.</exception>
    internal static HarnessOptions Parse(IReadOnlyList<string> arguments)
    {
        var options = new HarnessOptions();
        for (int i = 0; i < arguments.Count; i++)
        {
            switch (arguments[i])
            {
                case "--rows":
                    options.Rows = Value(ref i).Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
                    break;
                case "--json":
                    options.JsonFile = Value(ref i);
                    break;
                case "--n":
                    string text = Value(ref i);
                    options.Count = int.TryParse(text, out int count) && count is >= 1 and <= 1_000_000
                        ? count
                        : throw new ArgumentException($"--n {text}: a number from 1 to 1,000,000");
                    break;
                case "--list":
                    options.List = true;
                    break;
                case "--strict":
                    options.Strict = true;
                    break;
                default:
                    throw new ArgumentException($"unknown argument '{arguments[i]}'");
            }
        }

        return options;

        string Value(ref int at) =>
            ++at < arguments.Count ? arguments[at] : throw new ArgumentException($"{arguments[at - 1]} needs a value");
    }
}
