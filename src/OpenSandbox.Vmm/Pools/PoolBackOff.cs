namespace OpenSandbox.Vmm.Pools;

/// <summary>Puts off starting machines after failures: 1 second after the first one, twice as long after each further one, up to a minute.</summary>
/// <remarks>Not thread-safe.</remarks>
internal sealed class PoolBackOff(TimeProvider time)
{
    internal static readonly TimeSpan First = TimeSpan.FromSeconds(1);
    internal static readonly TimeSpan Longest = TimeSpan.FromMinutes(1);

    /// <summary>After this much time without a failure the next one counts as the first.</summary>
    private static readonly TimeSpan s_forgotten = TimeSpan.FromMinutes(5);

    private long _failedAt;
    private TimeSpan _pause;

    /// <summary>How long no machine should be started yet; zero: one may.</summary>
    internal TimeSpan Remaining
    {
        get
        {
            TimeSpan rest = _pause - time.GetElapsedTime(_failedAt);
            return _pause == TimeSpan.Zero || rest < TimeSpan.Zero ? TimeSpan.Zero : rest;
        }
    }

    /// <summary>A start failed, or a machine turned out to be dead.</summary>
    internal void Failed()
    {
        TimeSpan twice = _pause == TimeSpan.Zero || time.GetElapsedTime(_failedAt) > s_forgotten ? First : _pause + _pause;
        _pause = twice < Longest ? twice : Longest;
        _failedAt = time.GetTimestamp();
    }

    /// <summary>A machine has become a sandbox: what was wrong is over.</summary>
    internal void Succeeded() => _pause = TimeSpan.Zero;
}
