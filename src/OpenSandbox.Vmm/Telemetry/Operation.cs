using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace OpenSandbox.Vmm.Telemetry;

/// <summary>
/// An operation that is traced and measured: an activity, a duration, and a count of errors. Costs two reads while nobody listens.
/// </summary>
internal sealed class Operation
{
    internal static readonly ActivitySource Source = new(
        OpenSandboxTelemetry.SourceName, typeof(Operation).Assembly.GetName().Version?.ToString(3) ?? "");

    internal static readonly Operation Create = new("sandbox.create", SandboxMetrics.StartDuration);
    internal static readonly Operation Fork = new("sandbox.fork", SandboxMetrics.ForkDuration);
    internal static readonly Operation Hibernate = new("sandbox.hibernate", SandboxMetrics.HibernateDuration);
    internal static readonly Operation Wake = new("sandbox.wake", SandboxMetrics.WakeDuration);
    internal static readonly Operation Checkpoint = new("sandbox.checkpoint", SandboxMetrics.CheckpointDuration);
    internal static readonly Operation Restore = new("sandbox.restore", SandboxMetrics.RestoreDuration);
    internal static readonly Operation Exec = new("sandbox.exec", SandboxMetrics.ExecDuration);
    internal static readonly Operation Resize = new("sandbox.resize", null);
    internal static readonly Operation Delete = new("sandbox.delete", null);
    internal static readonly Operation Expire = new("sandbox.expire", null);

    private readonly Histogram<double>? _duration;

    private Operation(string name, Histogram<double>? duration)
    {
        Name = name;
        _duration = duration;
    }

    /// <summary>The activities' name; in metrics the part after the point.</summary>
    internal string Name { get; }

    /// <summary>Whether anybody listens.</summary>
    internal bool IsWatched => Source.HasListeners() || _duration?.Enabled == true || SandboxMetrics.Errors.Enabled;

    /// <summary>Carries the operation out, and tells who listens.</summary>
    /// <param name="sandboxId">The sandbox concerned, if it is known already.</param>
    /// <param name="work">Does it.</param>
    /// <param name="describe">Adds what is known when it has succeeded: attributes of the duration and of the activity.</param>
    internal Task<T> RunAsync<T>(string? sandboxId, Func<Task<T>> work, Action<T, Activity?, List<KeyValuePair<string, object?>>>? describe = null) =>
        IsWatched ? WatchAsync(sandboxId, work, describe) : work();

    private async Task<T> WatchAsync<T>(string? sandboxId, Func<Task<T>> work, Action<T, Activity?, List<KeyValuePair<string, object?>>>? describe)
    {
        using Activity? activity = Source.StartActivity(Name);
        if (sandboxId is not null)
        {
            activity?.SetTag("sandbox.id", sandboxId);
        }

        long started = Stopwatch.GetTimestamp();
        var tags = new List<KeyValuePair<string, object?>>();
        try
        {
            T result = await work().ConfigureAwait(false);
            describe?.Invoke(result, activity, tags);
            return result;
        }
        catch (Exception failure)
        {
            string kind = KindOf(failure);
            tags.Add(SandboxMetrics.Tag(SandboxMetrics.ErrorType, kind));
            activity?.SetStatus(ActivityStatusCode.Error, failure.Message);
            activity?.SetTag(SandboxMetrics.ErrorType, kind);
            SandboxMetrics.Errors.Add(
                1, SandboxMetrics.Tag("operation", Name[(Name.IndexOf('.', StringComparison.Ordinal) + 1)..]), SandboxMetrics.Tag(SandboxMetrics.ErrorType, kind));
            throw;
        }
        finally
        {
            _duration?.Record(Stopwatch.GetElapsedTime(started).TotalSeconds, [.. tags]);
        }
    }

    private static string KindOf(Exception failure) => failure switch
    {
        SandboxException known => SandboxMetrics.NameOf(known.Code),
        OperationCanceledException => "cancelled",
        ArgumentException => "invalid_argument",
        ObjectDisposedException => "closed",
        _ => failure.GetType().Name,
    };
}
