using Microsoft.Extensions.Logging;

namespace OpenSandbox.Vmm;

/// <summary>Where the refusals of one sandbox go: into the ring, to the watchers and, at a bounded rate, into the log.</summary>
internal sealed class EgressRefusals
{
    private const int LogLinesPerSecond = 10;
    private readonly string _sandboxId;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly RateBucket _logRate;
    private readonly RateBucket _limitRate;
    private long _unlogged;

    internal EgressRefusals(string sandboxId, TimeProvider time, ILogger logger)
    {
        _sandboxId = sandboxId;
        _time = time;
        _logger = logger;
        _logRate = new RateBucket(LogLinesPerSecond, LogLinesPerSecond, time);
        _limitRate = new RateBucket(1, 4, time);
    }

    internal RefusalLog Log { get; } = new();

    /// <summary>Records a refusal.</summary>
    internal void Add(
        EgressRefusalKind kind, EgressRefusalReason reason, string target, int port, IReadOnlyList<string> names, EgressRule? rule, string detail)
    {
        // A guest that floods would push everything else out of the ring: of refusals by limits a few per second are kept, all are counted.
        if (reason is EgressRefusalReason.RateLimit or EgressRefusalReason.ConcurrencyLimit && !_limitRate.TryTake())
        {
            return;
        }

        Log.Add(new EgressRefusal
        {
            Sequence = 0,
            Time = _time.GetUtcNow(),
            Kind = kind,
            Reason = reason,
            Target = target,
            Port = port,
            Names = names,
            Rule = rule,
            Detail = detail,
        });
        if (!_logRate.TryTake())
        {
            Interlocked.Increment(ref _unlogged);
            return;
        }

        long unlogged = Interlocked.Exchange(ref _unlogged, 0);
        if (unlogged > 0)
        {
            EgressLog.RefusalsNotLogged(_logger, _sandboxId, unlogged);
        }

        if (kind == EgressRefusalKind.Dns)
        {
            EgressLog.NameRefused(_logger, _sandboxId, target, reason, rule?.ToString() ?? "", detail);
        }
        else
        {
            EgressLog.ConnectionRefused(_logger, _sandboxId, target, port, reason, rule?.ToString() ?? "", detail);
        }
    }
}
