using System.Diagnostics;
using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.PerfHarness.Processes;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness;

/// <summary>What every row works with: one host, and a floor program for each kind of sandbox, started when first needed.</summary>
internal sealed class Bench : IAsyncDisposable
{
    /// <summary>Measurements at the start of a series that are dropped.</summary>
    internal const int Warmups = 2;

    /// <summary>The kind without disks: nothing but golden snapshot and agent.</summary>
    internal static readonly SandboxSpec Bare = new() { Image = null };

    /// <summary>The kind that users have: root file system and workspace.</summary>
    internal static readonly SandboxSpec WithDisks = new();

    private readonly string _floorPath;
    private readonly int? _count;
    private readonly Dictionary<SandboxSpec, FloorProgram> _floors = [];
    private bool _imagesChecked;

    private Bench(SandboxHost host, string floorPath, int? count)
    {
        Host = host;
        _floorPath = floorPath;
        _count = count;
        Machine = MachineFacts.Of(host);
    }

    internal SandboxHost Host { get; }

    internal MachineFacts Machine { get; }

    internal static async Task<Bench> StartAsync(int? count, CancellationToken cancellationToken)
    {
        string floor = Environment.GetEnvironmentVariable("OPENSANDBOX_FLOOR") is { Length: > 0 } path
            ? path
            : throw new HostPrerequisiteException("OPENSANDBOX_FLOOR is not set", "Use bench.sh, which builds the floor program and names it there");
        return new Bench(await SandboxHost.StartAsync(cancellationToken: cancellationToken).ConfigureAwait(false), floor, count);
    }

    /// <summary>How many measurements a row takes.</summary>
    /// <param name="specified">What the specification wants: 30, or 200 for microseconds.</param>
    internal int Count(int specified) => _count ?? specified;

    /// <summary>The floor program for a kind of sandbox.</summary>
    internal async Task<FloorProgram> GetFloorAsync(SandboxSpec spec, CancellationToken cancellationToken)
    {
        await PrepareAsync(spec, cancellationToken).ConfigureAwait(false);
        if (!_floors.TryGetValue(spec, out FloorProgram? floor))
        {
            floor = await FloorProgram.StartAsync(_floorPath, Host, spec, cancellationToken).ConfigureAwait(false);
            _floors.Add(spec, floor);
        }

        return floor;
    }

    /// <summary>Makes a sandbox that a row measures in.</summary>
    internal async Task<Sandbox> CreateAsync(SandboxSpec spec, CancellationToken cancellationToken)
    {
        await PrepareAsync(spec, cancellationToken).ConfigureAwait(false);
        return await Host.CreateAsync(spec, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Repeats an operation until this process runs it as a long-lived one would: the runtime compiles hot code anew, optimised, only after
    /// some calls and a pause of its compiler. The first calls of a process are row P1's and P10's matter, not that of the microsecond rows.
    /// </summary>
    internal static async Task WarmUpAsync(Func<Task> operation)
    {
        const int calls = 100;
        const double milliseconds = 1_500;
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < calls || Since(start) < milliseconds; i++)
        {
            await operation().ConfigureAwait(false);
        }
    }

    /// <summary>Says how far a row is, where somebody watches.</summary>
    internal static void Progress(string text)
    {
        if (!Console.IsErrorRedirected)
        {
            Console.Error.Write($"\r\e[K{text}");
        }
    }

    /// <summary>Milliseconds since a timestamp.</summary>
    internal static double Since(long timestamp) => Stopwatch.GetElapsedTime(timestamp).TotalMilliseconds;

    /// <summary>Ends the floor programs and what they run: a row that failed leaves them in no known state.</summary>
    internal async Task EndFloorsAsync()
    {
        foreach (FloorProgram floor in _floors.Values)
        {
            await floor.DisposeAsync().ConfigureAwait(false);
        }

        _floors.Clear();
    }

    public async ValueTask DisposeAsync()
    {
        await EndFloorsAsync().ConfigureAwait(false);
        await Host.DisposeAsync().ConfigureAwait(false);
    }

    private async Task PrepareAsync(SandboxSpec spec, CancellationToken cancellationToken)
    {
        if (spec.Image is not null && !_imagesChecked)
        {
            await ImageRecipes.EnsureAsync(Host.Images, spec.Image, cancellationToken).ConfigureAwait(false);
            _imagesChecked = true;
        }
    }
}
