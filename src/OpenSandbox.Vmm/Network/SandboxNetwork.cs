namespace OpenSandbox.Vmm;

/// <summary>The network of one sandbox, as its owner sees it: what it may reach, what it has used and what it was refused.</summary>
/// <remarks>Thread-safe. Everything stays readable after the sandbox has ended.</remarks>
/// <example>
/// <code>
/// network.UpdatePolicy(policy => policy with { Rules = [EgressRule.Allow("example.org"), .. policy.Rules] });
/// Console.WriteLine(network.Statistics.BytesReceived);
/// </code>
/// </example>
public sealed class SandboxNetwork
{
    private readonly EgressGateway _gateway;

    private readonly Action? _changed;

    /// <param name="gateway">The gateway.</param>
    /// <param name="changed">Called after the policy has been replaced.</param>
    internal SandboxNetwork(EgressGateway gateway, Action? changed = null)
    {
        _gateway = gateway;
        _changed = changed;
    }

    /// <summary>The policy in force.</summary>
    public EgressPolicy Policy => _gateway.Policy;

    /// <summary>What has happened so far.</summary>
    public EgressStatistics Statistics => _gateway.Statistics;

    /// <summary>The last refusals, oldest first, at most 256. A copy.</summary>
    public IReadOnlyList<EgressRefusal> RecentRefusals => _gateway.RecentRefusals;

    /// <summary>
    /// Replaces the policy. It holds for every request from then on, and open connections are judged anew: those that it does not allow have been
    /// reset when the method returns.
    /// </summary>
    /// <param name="policy">The new policy.</param>
    public void SetPolicy(EgressPolicy policy)
    {
        ArgumentNullException.ThrowIfNull(policy);
        _gateway.Policy = policy;
        _changed?.Invoke();
    }

    /// <summary>Replaces the policy by one made from the present one, in one step; otherwise as <see cref="SetPolicy"/>.</summary>
    /// <param name="change">Makes the new policy. It runs once, under a lock: keep it short and do not use the sandbox in it.</param>
    /// <returns>The new policy.</returns>
    /// <exception cref="ArgumentException">The result is null.</exception>
    public EgressPolicy UpdatePolicy(Func<EgressPolicy, EgressPolicy> change)
    {
        ArgumentNullException.ThrowIfNull(change);
        EgressPolicy changed = _gateway.ChangePolicy(change);
        _changed?.Invoke();
        return changed;
    }

    /// <summary>Refusals as they happen, from the first read on, until the sandbox ends.</summary>
    /// <param name="cancellationToken">Stops watching.</param>
    /// <returns>
    /// The refusals. A watcher that falls more than 256 behind loses the oldest, visible as a gap in <see cref="EgressRefusal.Sequence"/> and
    /// counted in <see cref="EgressStatistics.RefusalsMissed"/>.
    /// </returns>
    /// <exception cref="InvalidOperationException">There are 64 watchers already.</exception>
    public IAsyncEnumerable<EgressRefusal> WatchRefusalsAsync(CancellationToken cancellationToken = default) =>
        _gateway.WatchRefusalsAsync(cancellationToken);
}
